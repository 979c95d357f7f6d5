import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { attempt } from "./attempt.ts";
import { compileExpression } from "./expression.ts";
import { compileDropRule, fieldsOfAnyEvent } from "./expressionsOfApp.ts";
import { type Problems, show } from "./problems.ts";

/** The name under which `ingestion.drop` is counted. */
export const DROP_RULE = "drop";

/** Whether a rule is about an event. What the event lacks makes it false, unless the rule does not depend on it. */
export type NoiseTest = (event: Pick<Event, "id" | "type" | "fields">, occurredAtMs: number) => boolean;

/** One of the app's noise rules, ready to be asked. */
export interface CompiledNoiseRule {
  readonly name: string;
  readonly matches: NoiseTest;
  /** The share of matching events that is kept, 0 to 1. */
  readonly keep: number;
}

/**
 * Compiles the app's noise rules in the order in which they are asked: `drop`, which keeps none, then `noise`.
 *
 * @throws `invalid_argument` for an expression that is not CEL over `event`, `type` and `id`, or whose result is not a bool
 */
export function compileNoiseRules(app: App): CompiledNoiseRule[] {
  const rules = (app.ingestion?.noise ?? []).map(({ name, when, keep }) => {
    return { name, keep, matches: compileNoiseTest(app, when) };
  });
  if (!app.ingestion?.drop) return rules;
  const drop = compileDropRule(app);
  const matches: NoiseTest = ({ fields }, occurredAtMs) => drop.evaluate(fields, occurredAtMs) === true;
  return [{ name: DROP_RULE, keep: 0, matches }, ...rules];
}

function compileNoiseTest(app: App, when: string, path?: string): NoiseTest {
  let asked: Pick<Event, "id" | "type"> = { id: "", type: "" };
  const expression = compileExpression(when, {
    variable: "event",
    fields: fieldsOfAnyEvent(app),
    texts: { type: () => asked.type, id: () => asked.id },
    results: ["bool"],
    ...(path === undefined ? {} : { path }),
  });
  return (event, occurredAtMs) => {
    asked = event;
    return expression.evaluate(event.fields, occurredAtMs) === true;
  };
}

/** Checks the noise rules: names that can be told apart, expressions that are true or false. */
export function checkNoise(app: App, problems: Problems): void {
  const names = new Set([DROP_RULE]);
  for (const [index, { name, when }] of (app.ingestion?.noise ?? []).entries()) {
    const path = `ingestion.noise[${index}]`;
    if (name === DROP_RULE) {
      problems.add(`${path}.name`, "reserved_name", `${show(name)} is the name of ingestion.drop; choose another`);
    } else if (names.has(name)) {
      problems.add(`${path}.name`, "repeated", `${show(name)} names two rules; their counts could not be told apart`);
    }
    names.add(name);
    if (when !== "") attempt(problems, () => compileNoiseTest(app, when, `${path}.when`));
  }
}
