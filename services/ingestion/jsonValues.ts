import { create } from "@bufbuild/protobuf";
import { type EventType, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { MAX_NESTING } from "./eventLimits.ts";
import { parseTime } from "./timeText.ts";
import { violation } from "./violation.ts";

type Values = Record<string, Value>;

/**
 * Turns JSON members into fields. A number or a text gets the type that the schema gives it, where it can have that; null is a
 * field that is missing. An object or a list that the schema does not name is kept as its JSON text.
 */
export function valuesOf(
  members: Readonly<Record<string, unknown>>,
  schema: EventType | undefined,
  violations: Violation[],
): Values {
  const values: Values = {};
  for (const [name, json] of Object.entries(members)) {
    if (json === null) continue;
    const type = schema !== undefined && Object.hasOwn(schema.fields, name) ? schema.fields[name]?.type : undefined;
    const kind = typeof json === "object" ? nestedKind(name, json, type, violations) : kindOf(json, type);
    // Not by assignment: "__proto__" is a name like any other.
    if (kind !== undefined) Object.defineProperty(values, name, property(create(ValueSchema, { kind })));
  }
  return values;
}

const property = (value: Value): PropertyDescriptor => ({
  value,
  enumerable: true,
  writable: true,
  configurable: true,
});

function kindOf(json: unknown, type: FieldType | undefined): Value["kind"] {
  if (typeof json === "boolean") return { case: "boolValue", value: json };
  if (typeof json === "number") {
    // Beyond 2^53 a JSON number may have lost digits on its way: such an integer comes as a text.
    const whole = type === FieldType.INT64 && Number.isSafeInteger(json);
    return whole ? { case: "int64Value", value: BigInt(json) } : { case: "doubleValue", value: json };
  }
  const text = String(json);
  if (type === FieldType.INT64) {
    const integer = integerOf(text);
    if (integer !== undefined) return { case: "int64Value", value: integer };
  }
  const time = type === FieldType.TIMESTAMP ? parseTime(text) : undefined;
  return time === undefined ? { case: "stringValue", value: text } : { case: "timestampValue", value: time };
}

/** As in protobuf's JSON, a text may carry an integer that a JSON number could not hold. */
function integerOf(text: string): bigint | undefined {
  if (!/^-?\d{1,19}$/.test(text)) return undefined;
  const integer = BigInt(text);
  return BigInt.asIntN(64, integer) === integer ? integer : undefined;
}

function nestedKind(
  name: string,
  json: unknown,
  type: FieldType | undefined,
  violations: Violation[],
): Value["kind"] | undefined {
  const path = `fields.${name}`;
  if (isDeeperThan(MAX_NESTING, json)) {
    const description = `${path} has more than ${MAX_NESTING} objects and lists within one another`;
    violations.push(violation(path, "nested_too_deeply", description));
    return undefined;
  }
  if (type === FieldType.STRING) {
    const description = `${path} must be STRING, not ${Array.isArray(json) ? "a list" : "an object"}`;
    violations.push(violation(path, "wrong_type", description));
    return undefined;
  }
  return { case: "stringValue", value: JSON.stringify(json) };
}

function isDeeperThan(limit: number, json: unknown): boolean {
  if (typeof json !== "object" || json === null) return false;
  return limit === 0 || Object.values(json).some((inner) => isDeeperThan(limit - 1, inner));
}
