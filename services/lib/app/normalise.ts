import type { DescEnum, DescField, DescMessage, JsonValue } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { durationJson, parseDurationMs } from "./duration.ts";
import { joinPath, listNames, type Problems, show } from "./problems.ts";

/**
 * Turns what a person writes into protojson, guided by the message's descriptor: durations (`6h`), short enum names (`MEAN` for
 * AGGREGATE_MEAN), shares (`20%`), and a list for a message that has one repeated field only (`origin: [origin]`).
 * Whatever does not fit the descriptor becomes a problem that names its path.
 */
export function normaliseApp(value: unknown, problems: Problems): JsonValue {
  return normaliseMessage(AppSchema, value, "", problems);
}

function normaliseMessage(schema: DescMessage, value: unknown, path: string, problems: Problems): JsonValue {
  if (schema.typeName === "google.protobuf.Duration") return normaliseDuration(value, path, problems);
  const only = schema.fields[0];
  if (Array.isArray(value) && schema.fields.length === 1 && only?.fieldKind === "list") {
    return { [only.name]: normaliseList(only, value, path, problems) };
  }
  if (!isMapping(value)) {
    problems.add(path || "app", "wrong_type", `expected a mapping with ${fieldNames(schema)}, not ${show(value)}`);
    return {};
  }
  const result: Record<string, JsonValue> = {};
  for (const [name, inner] of Object.entries(value)) {
    const field = schema.fields.find((candidate) => candidate.name === name || candidate.jsonName === name);
    const innerPath = joinPath(path, name);
    if (field === undefined) problems.add(innerPath, "unknown_key", `no such key here; allowed: ${fieldNames(schema)}`);
    else if (inner !== null && inner !== undefined)
      result[field.name] = normaliseField(field, inner, innerPath, problems);
  }
  return result;
}

function normaliseField(field: DescField, value: unknown, path: string, problems: Problems): JsonValue {
  switch (field.fieldKind) {
    case "message":
      return normaliseMessage(field.message, value, path, problems);
    case "enum":
      return normaliseEnum(field.enum, value, path, problems);
    case "scalar":
      return normaliseScalar(field.scalar, value, path, problems);
    case "list":
      return normaliseList(field, value, path, problems);
    default:
      return normaliseMap(field, value, path, problems);
  }
}

function normaliseMap(
  field: Extract<DescField, { fieldKind: "map" }>,
  value: unknown,
  path: string,
  problems: Problems,
): JsonValue {
  if (!isMapping(value)) {
    problems.add(path, "wrong_type", `expected a mapping from names, not ${show(value)}`);
    return {};
  }
  const result: Record<string, JsonValue> = {};
  for (const [key, inner] of Object.entries(value)) {
    const innerPath = joinPath(path, key);
    if (field.mapKind === "message") result[key] = normaliseMessage(field.message, inner ?? {}, innerPath, problems);
    else if (field.mapKind === "scalar") result[key] = normaliseScalar(field.scalar, inner, innerPath, problems);
    else result[key] = normaliseEnum(field.enum, inner, innerPath, problems);
  }
  return result;
}

function normaliseList(
  field: Extract<DescField, { fieldKind: "list" }>,
  value: unknown,
  path: string,
  problems: Problems,
): JsonValue {
  if (!Array.isArray(value)) {
    problems.add(path, "wrong_type", `expected a list, such as [a, b], not ${show(value)}`);
    return [];
  }
  return value.map((item: unknown, index) => {
    const itemPath = joinPath(path, index);
    if (field.listKind === "message") return normaliseMessage(field.message, item, itemPath, problems);
    if (field.listKind === "enum") return normaliseEnum(field.enum, item, itemPath, problems);
    return normaliseScalar(field.scalar, item, itemPath, problems);
  });
}

function normaliseDuration(value: unknown, path: string, problems: Problems): JsonValue {
  const milliseconds = typeof value === "string" ? parseDurationMs(value) : undefined;
  if (milliseconds === undefined) {
    problems.add(path, "not_a_duration", `expected a duration such as 50ms, 90s, 6h or 7d, not ${show(value)}`);
    return "0s";
  }
  return durationJson(milliseconds);
}

function normaliseEnum(desc: DescEnum, value: unknown, path: string, problems: Problems): JsonValue {
  const prefix = (desc.sharedPrefix ?? "").toUpperCase();
  const allowed = desc.values.filter(({ number }) => number !== 0).map(({ name }) => name.slice(prefix.length));
  if (typeof value === "string") {
    const upper = value.toUpperCase();
    const short = upper.startsWith(prefix) ? upper.slice(prefix.length) : upper;
    if (allowed.includes(short)) return prefix + short;
  }
  problems.add(path, "unknown_value", `${show(value)} is none of ${allowed.join(", ")}`);
  return 0;
}

function normaliseScalar(scalar: ScalarType, value: unknown, path: string, problems: Problems): JsonValue {
  switch (scalar) {
    case ScalarType.STRING:
      if (typeof value === "string") return value;
      problems.add(path, "wrong_type", `expected a text, not ${show(value)}; put it in quotes`);
      return "";
    case ScalarType.BOOL:
      if (typeof value === "boolean") return value;
      problems.add(path, "wrong_type", `expected true or false, not ${show(value)}`);
      return false;
    case ScalarType.DOUBLE:
      return normaliseNumber(value, path, problems);
    default: {
      if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) return value;
      problems.add(path, "wrong_type", `expected a whole number from 0 to 4294967295, not ${show(value)}`);
      return 0;
    }
  }
}

function normaliseNumber(value: unknown, path: string, problems: Problems): JsonValue {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  const share = typeof value === "string" ? /^(-?\d+(?:\.\d+)?)\s*%$/.exec(value.trim()) : null;
  if (share !== null) return Number(share[1]) / 100;
  problems.add(path, "wrong_type", `expected a number or a share such as 20%, not ${show(value)}`);
  return 0;
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const fieldNames = (schema: DescMessage): string => listNames(schema.fields.map(({ name }) => name));
