import { fromJson } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { type App, AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { parseDocument } from "yaml";
import { checkEntities, checkEvents, checkFeatures } from "./checkData.ts";
import { checkLabel, checkOperation, checkServing } from "./checkLoop.ts";
import { normaliseApp } from "./normalise.ts";
import { joinPath, Problems } from "./problems.ts";

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
  checkServing(app, problems);
  checkOperation(app, problems);
}

function checkRules(app: App, problems: Problems): void {
  const result = validator.validate(AppSchema, app);
  if (result.kind === "error") throw result.error;
  for (const { field, ruleId, message } of result.violations ?? []) {
    problems.add(pathOf(field), ruleId, message);
  }
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
