import { fromJson, isMessage } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { DurationSchema, durationMs } from "@bufbuild/protobuf/wkt";
import { createValidator } from "@bufbuild/protovalidate";
import { type App, AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { parseDocument } from "yaml";
import { checkEntities, checkEvents, checkFeatures } from "./checkData.ts";
import { checkFeedback } from "./checkFeedback.ts";
import { checkLabel, checkOperation } from "./checkLoop.ts";
import { checkModel } from "./checkModel.ts";
import { checkServing } from "./checkServing.ts";
import { formatDuration } from "./duration.ts";
import { normaliseApp } from "./normalise.ts";
import { joinPath, Problems, show } from "./problems.ts";
import { addReportedLabels } from "./reportedLabel.ts";

const validator = createValidator();

/**
 * Reads an app file: YAML → protojson → App, checked by the message's own rules, then by meaning: references, types of expressions,
 * lengths, order.
 *
 * @throws `invalid_argument` with every problem found, each naming the path in the file, the rule and the value.
 */
export function parseApp(yamlText: string): App {
  const problems = new Problems();
  const subject = "The app file";
  const document = parseDocument(yamlText, { prettyErrors: true, uniqueKeys: true });
  for (const { message, linePos } of document.errors) {
    problems.add(`line ${linePos?.[0].line ?? 1}`, "bad_yaml", message.split("\n")[0] as string);
  }
  problems.throwIfAny(subject);
  const json = normaliseApp(document.toJS({ maxAliasCount: 100 }), problems);
  problems.throwIfAny(subject);
  const app = fromJson(AppSchema, json);
  addReportedLabels(app, problems);
  checkApp(app, problems);
  problems.throwIfAny(subject);
  return app;
}

/** Checks an app's own rules and its meaning. */
export function checkApp(app: App, problems: Problems): void {
  checkRules(app, problems);
  checkEvents(app, problems);
  checkEntities(app, problems);
  checkFeatures(app, problems);
  checkLabel(app, problems);
  checkModel(app, problems);
  checkServing(app, problems);
  checkOperation(app, problems);
  checkFeedback(app, problems);
}

function checkRules(app: App, problems: Problems): void {
  const result = validator.validate(AppSchema, app);
  if (result.kind === "error") throw result.error;
  for (const { field, ruleId, message } of result.violations ?? []) {
    problems.add(pathOf(field), ruleId, `${message}${valueThere(app, field)}`);
  }
}

/** `; it is 0.95`: the value that broke a rule, where it is one that can be shown. */
function valueThere(app: App, path: Path): string {
  let value: unknown = app;
  for (const step of path) {
    // An enum's number says nothing to who wrote its name.
    if (step.kind === "field" && step.enum !== undefined) return "";
    const key = step.kind === "field" ? step.localName : step.kind === "list_sub" ? step.index : undefined;
    value = (value as Record<PropertyKey, unknown> | undefined)?.[
      step.kind === "map_sub" ? String(step.key) : (key ?? "")
    ];
  }
  if (isMessage(value, DurationSchema)) return `; it is ${formatDuration(durationMs(value))}`;
  return value === undefined || typeof value === "object" ? "" : `; it is ${show(value)}`;
}

/** A rule's path as it stands in the file. */
function pathOf(path: Path): string {
  let text = "";
  for (const step of path) {
    if (step.kind === "field") text = joinPath(text, step.name);
    else if (step.kind === "map_sub") text = joinPath(text, String(step.key));
    else if (step.kind === "list_sub") text = joinPath(text, step.index);
  }
  return text || "app";
}
