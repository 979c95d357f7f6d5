import {
  Aggregate,
  AggregateSchema,
  type App,
  type Feature,
  type Field,
  FieldType,
  FieldTypeSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { attempt } from "./attempt.ts";
import { formatDuration } from "./duration.ts";
import { enumName } from "./enumName.ts";
import {
  compileEventExpression,
  compileFeatureValue,
  compileRequestExpression,
  eventTypeOf,
} from "./expressionsOfApp.ts";
import { compilePattern } from "./pattern.ts";
import { joinPath, listNames, type Problems, show } from "./problems.ts";
import { durationToMs, tileLengthMs, windowLengthMs } from "./tile.ts";

/** Names that an event has without declaring them. */
const RESERVED_FIELDS = new Set(["occurred_at", "constructor"]);

/** Types by which an entity can be told from another. */
const KEY_TYPES = new Set<FieldType>([FieldType.STRING, FieldType.INT64, FieldType.BOOL]);

/** Checks the fields of every event type. */
export function checkEvents(app: App, problems: Problems): void {
  for (const [type, { fields }] of Object.entries(app.events)) {
    for (const [name, field] of Object.entries(fields)) {
      const path = joinPath(joinPath(joinPath("events", type), "fields"), name);
      if (RESERVED_FIELDS.has(name))
        problems.add(path, "reserved_name", `a field cannot be called ${name}; choose another name`);
      checkField(path, field, problems);
    }
  }
}

function checkField(path: string, field: Field, problems: Problems): void {
  const isText = field.type === FieldType.STRING;
  const isNumber = field.type === FieldType.DOUBLE || field.type === FieldType.INT64;
  const textRules = { max_length: field.maxLength, pattern: field.pattern || undefined, allowed: field.allowed[0] };
  const numberRules = { min: field.min, max: field.max };
  for (const [rules, fits, kind] of [
    [textRules, isText, "STRING"],
    [numberRules, isNumber, "DOUBLE and INT64"],
  ] as const) {
    for (const [rule, value] of Object.entries(rules)) {
      if (value !== undefined && !fits && field.type !== FieldType.UNSPECIFIED) {
        problems.add(
          `${path}.${rule}`,
          "rule_does_not_fit",
          `${rule} is a rule for ${kind}, not for ${enumName(FieldTypeSchema, field.type)}`,
        );
      }
    }
  }
  if (field.min !== undefined && field.max !== undefined && field.min > field.max) {
    problems.add(`${path}.min`, "empty_range", `min ${field.min} is above max ${field.max}: no value could pass`);
  }
  if (field.pattern === "") return;
  try {
    compilePattern(field.pattern);
  } catch (error) {
    problems.add(
      `${path}.pattern`,
      "bad_pattern",
      `${show(field.pattern)} is no RE2 pattern: ${(error as Error).message}`,
    );
  }
}

/** Checks that every entity's key is made of known fields. */
export function checkEntities(app: App, problems: Problems): void {
  for (const [name, { key }] of Object.entries(app.entities)) {
    const path = joinPath("entities", name);
    if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) {
      problems.add(path, "bad_name", `${show(name)} must be lower-case letters, digits and _, beginning with a letter`);
    }
    if (new Set(key).size < key.length) problems.add(path, "repeated", `the key names a field twice: ${show(key)}`);
    key.forEach((fieldName, index) => {
      const types = typesOfField(app, fieldName);
      if (types.size === 0) {
        problems.add(`${path}.key[${index}]`, "unknown_field", `no event has a field ${show(fieldName)}`);
      } else if (types.size > 1) {
        problems.add(
          `${path}.key[${index}]`,
          "ambiguous",
          `${fieldName} has different types in different events; a key needs one`,
        );
      } else if (![...types].every((type) => KEY_TYPES.has(type))) {
        problems.add(`${path}.key[${index}]`, "wrong_type", `a key is STRING, INT64 or BOOL; ${fieldName} is not`);
      }
    });
  }
}

function typesOfField(app: App, name: string): Set<FieldType> {
  const types = new Set<FieldType>();
  for (const { fields } of Object.values(app.events)) {
    const field = fields[name];
    if (field !== undefined && Object.hasOwn(fields, name)) types.add(field.type);
  }
  return types;
}

/** Checks every feature: its shape, its references, its expressions. */
export function checkFeatures(app: App, problems: Problems): void {
  for (const [name, feature] of Object.entries(app.features)) {
    const path = joinPath("features", name);
    if (feature.atRequest !== "") checkRequestFeature(app, name, feature, problems);
    else checkWindowedFeature(app, path, feature, problems);
  }
}

function checkRequestFeature(app: App, name: string, feature: Feature, problems: Problems): void {
  const path = joinPath("features", name);
  const { entity, on, value, where } = feature;
  const windowed: Record<string, unknown> = { entity, on, value, where, window: feature.window, tile: feature.tile };
  const extra = Object.keys(windowed).filter((key) => windowed[key] !== "" && windowed[key] !== undefined);
  if (feature.aggregate !== Aggregate.UNSPECIFIED) extra.push("aggregate");
  if (extra.length > 0) {
    problems.add(
      path,
      "two_kinds",
      `has at_request and also ${listNames(extra)}; it is either calculated at the request or a window`,
    );
  }
  const expression = attempt(problems, () => compileRequestExpression(app, feature.atRequest, `${path}.at_request`));
  if (expression?.type === "string" && app.model?.categorical.includes(name) !== true) {
    problems.add(
      `${path}.at_request`,
      "wrong_type",
      `is a text; a feature is a number or a boolean, or a text that model.categorical names: add ${name} there`,
    );
  }
}

function checkWindowedFeature(app: App, path: string, feature: Feature, problems: Problems): void {
  const { entity, on, aggregate, value, where } = feature;
  if (aggregate === Aggregate.UNSPECIFIED)
    problems.add(`${path}.aggregate`, "missing", "name an aggregate, such as COUNT or MEAN, or use at_request");
  if (feature.window === undefined) problems.add(`${path}.window`, "missing", "say how long the window is, such as 6h");
  else checkTile(path, feature, problems);
  const eventType = eventTypeOf(app, on);
  if (eventType === undefined) {
    problems.add(
      `${path}.on`,
      "unknown_event",
      `${show(on)} is no event of this app; allowed: ${listNames(Object.keys(app.events))}`,
    );
  }
  const key = Object.hasOwn(app.entities, entity) ? app.entities[entity]?.key : undefined;
  if (key === undefined) {
    problems.add(
      `${path}.entity`,
      "unknown_entity",
      `${show(entity)} is no entity of this app; allowed: ${listNames(Object.keys(app.entities))}`,
    );
  }
  for (const [what, type] of [
    ["on", on],
    ["entity", app.prediction?.at ?? ""],
  ] as const) {
    const fields = eventTypeOf(app, type)?.fields;
    const lacking = fields === undefined ? [] : (key ?? []).filter((name) => !Object.hasOwn(fields, name));
    if (lacking.length > 0) {
      problems.add(
        `${path}.${what}`,
        "missing_key",
        `${type} has no field ${lacking.join(", ")}, which the key of ${entity} needs`,
      );
    }
  }
  if (eventType === undefined) return;
  if (value !== "") attempt(problems, () => compileFeatureValue(app, feature, `${path}.value`));
  else if (aggregate !== Aggregate.COUNT && aggregate !== Aggregate.UNSPECIFIED) {
    problems.add(
      `${path}.value`,
      "missing",
      `say what ${enumName(AggregateSchema, aggregate)} is taken of, such as "event.delay"`,
    );
  }
  if (where !== "") attempt(problems, () => compileEventExpression(app, on, where, ["bool"], `${path}.where`));
}

/** Most tiles in a window: each is kept per entity, and read at each prediction. */
const MAX_TILES = 2_000;

/** The same for DISTINCT, of which a tile may take a kilobyte. */
const MAX_DISTINCT_TILES = 500;

function checkTile(path: string, feature: Feature, problems: Problems): void {
  const window = windowLengthMs(feature);
  const given = durationToMs(feature.tile);
  if (window < 1_000 || window % 1_000 !== 0) {
    problems.add(`${path}.window`, "out_of_range", `must be whole seconds, at least 1s, not ${formatDuration(window)}`);
    return;
  }
  if (given !== undefined && (given < 1_000 || given % 1_000 !== 0 || given > window)) {
    problems.add(
      `${path}.tile`,
      "out_of_range",
      `must be whole seconds from 1s to the window's ${formatDuration(window)}, not ${formatDuration(given)}`,
    );
    return;
  }
  const tile = tileLengthMs(feature);
  const most = feature.aggregate === Aggregate.DISTINCT ? MAX_DISTINCT_TILES : MAX_TILES;
  if (window % tile !== 0) {
    problems.add(
      `${path}.tile`,
      "does_not_divide",
      `${formatDuration(tile)} does not divide the window of ${formatDuration(window)}`,
    );
  } else if (window / tile > most) {
    problems.add(
      `${path}.tile`,
      "too_many_tiles",
      `the window would have ${window / tile} tiles; at most ${most}: choose a longer tile`,
    );
  }
}
