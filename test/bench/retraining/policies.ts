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
}

/** Settings of the app file by their path, `model.history`; `-` leaves one out. */
export type Changes = Readonly<Record<string, string>>;

const WEEK_MS = 7 * 86_400_000;
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
    if (value === "-") document.deleteIn(path.split("."));
    else document.setIn(path.split("."), parseDocument(value).toJS());
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
});

/** The app's own policy, where `changes` say nothing else. */
export function ownPolicy(name: string, text: string, changes: Changes = {}): Policy {
  const { gates, ...settings } = changes;
  const app = changedApp(text, settings);
  return { name, app, rules: retrainingRules(app.app), gated: gates !== "off" };
}

/** What the app's policy is held against: the same trainer, rows and first model. */
export function otherPolicies(text: string): Policy[] {
  return [
    { name: "frozen", app: changedApp(text, {}), rules: undefined, gated: false },
    weekly("weekly, 28 days", text, { "model.history": "28d", "model.half_life": "-" }),
    weekly("weekly, all history", text, { "model.history": "-", "model.half_life": "-" }),
    weekly("weekly, by age", text, { "model.history": "-", "model.half_life": "28d" }),
  ];
}

/** `model.history=56d,gates=off`. @throws `invalid_argument` for anything else */
export function readChanges(text: string): Changes {
  return Object.fromEntries(
    text.split(",").map((setting) => {
      const at = setting.indexOf("=");
      if (at > 0) return [setting.slice(0, at), setting.slice(at + 1)];
      throw new MillraceError("invalid_argument", `--try takes settings such as model.history=56d, not "${setting}"`);
    }),
  );
}
