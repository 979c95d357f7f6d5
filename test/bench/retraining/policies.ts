import { parseApp } from "@millrace/app";
import { MillraceError } from "@millrace/runtime";
import { parseDocument } from "yaml";
import { type RetrainingRules, retrainingRules } from "../../../services/feedback/retrainingPolicy.ts";
import type { ModelledApp } from "../../../services/training/appRows.ts";

/** A way to keep a model fresh. */
export interface Policy {
  readonly name: string;
  readonly app: ModelledApp;
  /** Undefined: the first model serves for ever. */
  readonly rules: RetrainingRules | undefined;
  /** Whether the app's gates decide; otherwise whatever was trained serves. */
  readonly gated: boolean;
  /** Most rows of one training, as TRAINING_MAX_ROWS; with every fourth flight a row, it is reached as late as a quarter of them would be. */
  readonly maxRows: number;
}

/** Settings of the app file by their path, `model.history`; null leaves one out. */
export type Changes = Readonly<Record<string, unknown>>;

const WEEK_MS = 7 * 86_400_000;
/** The training service's own. */
const MAX_ROWS = 400_000;

const WEEKLY: RetrainingRules = {
  everyMs: WEEK_MS,
  on: new Set(["schedule"]),
  minNewLabels: 0,
  cooldownMs: 0,
  everyLabels: 0,
  budget: undefined,
};

/** The app's file with other settings. @throws `invalid_argument` as `parseApp` does */
export function changedApp(text: string, changes: Changes): ModelledApp {
  const document = parseDocument(text);
  // By airport and by hour is for the model card, and would take most of the time here.
  document.deleteIn(["model", "segments"]);
  for (const [path, value] of Object.entries(changes)) {
    if (value === null) document.deleteIn(path.split("."));
    else document.setIn(path.split("."), document.createNode(value));
  }
  const app = parseApp(document.toString());
  if (app.model === undefined) throw new MillraceError("invalid_argument", "The app has no model section");
  return { version: 1, app, model: app.model };
}

const weekly = (name: string, text: string, changes: Changes): Policy => ({
  name,
  app: changedApp(text, changes),
  rules: WEEKLY,
  gated: false,
  maxRows: MAX_ROWS,
});

/** The app's own policy, where `changes` say nothing else; of them, `gates: off` and `max_rows` are no settings of the app. */
export function ownPolicy(name: string, text: string, changes: Changes = {}): Policy {
  const { gates, max_rows: maxRows = MAX_ROWS, ...settings } = changes;
  const app = changedApp(text, settings);
  return { name, app, rules: retrainingRules(app.app), gated: gates !== "off", maxRows: Number(maxRows) };
}

/** What the app's policy is held against: the same trainer, rows and first model. */
export function otherPolicies(text: string): Policy[] {
  return [
    { ...ownPolicy("frozen", text), rules: undefined },
    weekly("weekly, 28 days", text, { "model.history": "28d", "model.half_life": null }),
    weekly("weekly, all history", text, { "model.history": null, "model.half_life": null }),
    weekly("weekly, by age", text, { "model.history": null, "model.half_life": "28d" }),
  ];
}

/** `model.history: 56d, gates: off`. @throws `invalid_argument` for anything else */
export function readChanges(text: string): Changes {
  const changes: unknown = parseDocument(`{ ${text} }`).toJS();
  if (typeof changes === "object" && changes !== null) return changes as Changes;
  throw new MillraceError("invalid_argument", `--try takes settings such as "model.history: 56d", not "${text}"`);
}
