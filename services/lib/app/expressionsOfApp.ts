import {
  Aggregate,
  type App,
  type EventType,
  type Feature,
  type Field,
  FieldType,
  Task,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { compileExpression, type Expression, type ResultType } from "./expression.ts";

const NUMBERS: readonly ResultType[] = ["double", "int", "bool"];

/** The schema of an event type, or undefined; safe for names that come from outside. */
export const eventTypeOf = (app: App, type: string): EventType | undefined =>
  Object.hasOwn(app.events, type) ? app.events[type] : undefined;

/** Compiles an expression over the fields of an event type, called `event`. */
export function compileEventExpression(
  app: App,
  type: string,
  text: string,
  results: readonly ResultType[] = NUMBERS,
  path?: string,
): Expression {
  const fields = eventTypeOf(app, type)?.fields ?? {};
  return compileExpression(text, { variable: "event", fields, results, ...(path === undefined ? {} : { path }) });
}

/**
 * Compiles an expression over a prediction's request, which has the fields of the app's prediction event. It may be a text where the feature
 * is categorical (`model.categorical`); what a model gets then is a number for each text.
 */
export function compileRequestExpression(app: App, text: string, path?: string): Expression {
  const fields = eventTypeOf(app, app.prediction?.at ?? "")?.fields ?? {};
  return compileExpression(text, {
    variable: "request",
    fields,
    results: [...NUMBERS, "string"],
    ...(path === undefined ? {} : { path }),
  });
}

/** Compiles what a windowed feature aggregates. What is only counted may be of any type. */
export function compileFeatureValue(app: App, feature: Feature, path?: string): Expression {
  const counted = feature.aggregate === Aggregate.DISTINCT || feature.aggregate === Aggregate.COUNT;
  const results: readonly ResultType[] = counted ? [...NUMBERS, "string", "timestamp"] : NUMBERS;
  return compileEventExpression(app, feature.on, feature.value, results, path);
}

/**
 * Compiles a label's value. BINARY: true is the positive class. MULTICLASS: the index in `model.classes` of the text that it is; none, where
 * it is none of them. REGRESSION: the number.
 */
export function compileLabel(app: App, path?: string): Expression {
  const { on = "", value = "" } = app.label ?? {};
  const expression = compileEventExpression(app, on, value, LABEL_TYPES[app.model?.task ?? Task.UNSPECIFIED], path);
  if (app.model?.task !== Task.MULTICLASS) return expression;
  const indexes = new Map(app.model.classes.map((name, index) => [name, index]));
  return { ...expression, evaluate: (fields, at) => indexes.get(expression.raw(fields, at) as string) };
}

const LABEL_TYPES: Readonly<Record<Task, readonly ResultType[]>> = {
  [Task.UNSPECIFIED]: ["bool"],
  [Task.BINARY]: ["bool"],
  [Task.MULTICLASS]: ["string"],
  [Task.REGRESSION]: ["double", "int"],
};

/** Compiles the app's drop rule. It is asked of every event type, so it may use the fields of any; what a type lacks is missing. */
export function compileDropRule(app: App, path?: string): Expression {
  const text = app.ingestion?.drop ?? "";
  return compileExpression(text, {
    variable: "event",
    fields: fieldsOfAnyEvent(app),
    results: ["bool"],
    ...(path === undefined ? {} : { path }),
  });
}

/** The fields of all event types. One of two types in two events cannot be asked for: without a type it is refused. */
export function fieldsOfAnyEvent(app: App): Record<string, Field> {
  const fields: Record<string, Field> = {};
  for (const { fields: own } of Object.values(app.events)) {
    for (const [name, field] of Object.entries(own)) {
      const other = fields[name];
      fields[name] =
        other === undefined || other.type === field.type ? field : { ...field, type: FieldType.UNSPECIFIED };
    }
  }
  return fields;
}
