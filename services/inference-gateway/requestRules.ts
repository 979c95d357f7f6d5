import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { compilePattern } from "@millrace/app";
import { type EventType, type Field, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MillraceError, type Violation } from "@millrace/runtime";

export type Fields = Readonly<Record<string, Value>>;

/** What is wrong with a request's fields; empty when nothing is. */
export type CheckFields = (fields: Fields) => readonly Violation[];

type Check = (path: string, value: Value["kind"]) => Violation | undefined;

/** The rules of the prediction's event, and that the field exists by which the truth will find the prediction. */
export function compileRequestRules(event: EventType, joinField: string): CheckFields {
  const rules = Object.entries(event.fields).map(([name, field]) => ({
    name,
    path: `fields.${name}`,
    required: field.required || name === joinField,
    check: compileField(field),
  }));
  return (fields) => {
    let violations: Violation[] | undefined;
    for (const { name, path, required, check } of rules) {
      const kind = fields[name]?.kind;
      let violation: Violation | undefined;
      if (kind?.case === undefined) {
        if (!required) continue;
        violation = { field: path, reason: "field_missing", description: `${path} is required and missing` };
      } else violation = check(path, kind);
      if (violation !== undefined) (violations ??= []).push(violation);
    }
    return violations ?? NONE;
  };
}

/** What the gateway has to know of a question, however it came. */
export interface AskedRow {
  readonly requestId: string;
  readonly occurredAt?: Timestamp | undefined;
  readonly fields: Fields;
}

const MAX_REQUEST_ID = 200;
const REQUEST_ID = /^[\x21-\x7e]*$/;

/**
 * @param knownBefore `features_known_before`, where the question has its own
 * @throws `invalid_argument` naming every wrong field.
 */
export function checkRow(app: string, checkFields: CheckFields, row: AskedRow, knownBefore?: Timestamp): void {
  const { requestId, occurredAt, fields } = row;
  const violations = [
    ...checkFields(fields),
    ...wrongTime("occurred_at", occurredAt),
    ...wrongTime("features_known_before", knownBefore),
  ];
  if (requestId.length > MAX_REQUEST_ID || !REQUEST_ID.test(requestId)) {
    const description = `request_id must be at most ${MAX_REQUEST_ID} visible ASCII characters without spaces, not ${JSON.stringify(requestId.slice(0, 80))}`;
    violations.push({ field: "request_id", reason: "field_pattern", description });
  }
  throwIfAny(app, violations);
}

/** @throws `invalid_argument` for a time that is none. */
export function checkKnownBefore(app: string, featuresKnownBefore: Timestamp | undefined): void {
  throwIfAny(app, wrongTime("features_known_before", featuresKnownBefore));
}

function wrongTime(field: string, time: Timestamp | undefined): readonly Violation[] {
  if (time === undefined) return NONE;
  const { seconds, nanos } = time;
  const inRange = seconds >= -62_135_596_800n && seconds <= 253_402_300_799n && nanos >= 0 && nanos <= 999_999_999;
  if (inRange) return NONE;
  const description = `${field} must be from year 1 to 9999 with nanos from 0 to 999999999, not ${seconds} s ${nanos} ns`;
  return [{ field, reason: "field_out_of_range", description }];
}

function throwIfAny(app: string, violations: readonly Violation[]): void {
  if (violations.length === 0) return;
  const lines = violations.map(({ description }) => description).join("; ");
  throw new MillraceError("invalid_argument", `${app}: ${lines}`, { violations });
}

const NONE: readonly Violation[] = [];

const EXPECTED: Readonly<Record<number, { readonly name: string; readonly cases: readonly string[] }>> = {
  [FieldType.STRING]: { name: "a string", cases: ["stringValue"] },
  [FieldType.DOUBLE]: { name: "a number", cases: ["doubleValue", "int64Value"] },
  [FieldType.INT64]: { name: "a whole number (int64_value)", cases: ["int64Value"] },
  [FieldType.BOOL]: { name: "true or false", cases: ["boolValue"] },
  [FieldType.TIMESTAMP]: { name: "a timestamp", cases: ["timestampValue"] },
};

function compileField(field: Field): Check {
  const expected = EXPECTED[field.type] ?? { name: "nothing", cases: [] };
  const checkContent = field.type === FieldType.STRING ? compileString(field) : compileRange(field);
  return (path, kind) => {
    if (kind.case === undefined || !expected.cases.includes(kind.case)) {
      const description = `${path} must be ${expected.name}, not ${show(kind)}`;
      return { field: path, reason: "field_wrong_type", description };
    }
    return checkContent(path, kind);
  };
}

function compileString(field: Field): Check {
  const pattern = field.pattern === "" ? undefined : compilePattern(field.pattern);
  const allowed = field.allowed.length === 0 ? undefined : new Set(field.allowed);
  const longest = field.maxLength ?? Infinity;
  return (path, kind) => {
    const text = kind.value as string;
    if (text.length > longest && characters(text) > longest) {
      const description = `${path} may have at most ${longest} characters, not ${characters(text)}`;
      return { field: path, reason: "field_too_long", description };
    }
    if (pattern !== undefined && !pattern(text)) {
      const description = `${path} must match ${field.pattern}, not ${show(kind)}`;
      return { field: path, reason: "field_pattern", description };
    }
    if (allowed !== undefined && !allowed.has(text)) {
      const description = `${path} must be one of ${field.allowed.join(", ")}, not ${show(kind)}`;
      return { field: path, reason: "field_not_allowed", description };
    }
    return undefined;
  };
}

/** Unicode code points, as the schema counts. */
const characters = (text: string): number => Array.from(text).length;

function compileRange({ min = -Infinity, max = Infinity, unit, type }: Field): Check {
  if (type !== FieldType.DOUBLE && type !== FieldType.INT64) return () => undefined;
  const range = `a finite number from ${min} to ${max}${unit === "" ? "" : ` ${unit}`}`;
  return (path, kind) => {
    const number = Number(kind.value);
    if (Number.isFinite(number) && number >= min && number <= max) return undefined;
    return { field: path, reason: "field_out_of_range", description: `${path} must be ${range}, not ${show(kind)}` };
  };
}

/** A value for a message, not longer than a line. */
function show(kind: Value["kind"]): string {
  if (kind.case === undefined) return "an empty value";
  if (kind.case === "timestampValue") return "a timestamp";
  if (kind.case === "stringValue")
    return JSON.stringify(kind.value.length > 80 ? `${kind.value.slice(0, 80)}…` : kind.value);
  return String(kind.value);
}
