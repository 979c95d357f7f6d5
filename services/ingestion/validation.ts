import { compilePattern } from "@millrace/app";
import { type EventType, type Field, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { show, violation } from "./violation.ts";

type Values = { readonly [name: string]: Value };
type Kind = NonNullable<Value["kind"]["case"]>;

/** Checks one field; adds what is wrong with it. */
type FieldRule = (values: Values, violations: Violation[]) => void;

/** An event type's schema, compiled once: no schema is looked at per event. */
export interface CompiledSchema {
  readonly version: number;
  /** Adds every violation of the event's fields. */
  check(values: Values, violations: Violation[]): void;
  /** Whether every field is named by the schema. */
  knowsAll(values: Values): boolean;
  knows(name: string): boolean;
}

const KIND_OF: Readonly<Record<number, readonly [Kind, string]>> = {
  [FieldType.STRING]: ["stringValue", "STRING"],
  [FieldType.DOUBLE]: ["doubleValue", "DOUBLE"],
  [FieldType.INT64]: ["int64Value", "INT64"],
  [FieldType.BOOL]: ["boolValue", "BOOL"],
  [FieldType.TIMESTAMP]: ["timestampValue", "TIMESTAMP"],
};

/** Compiles an event type's schema. */
export function compileSchema({ version, fields }: EventType): CompiledSchema {
  const rules = Object.entries(fields).map(([name, field]) => compileField(name, field));
  const names = new Set(Object.keys(fields));
  return {
    version,
    check(values, violations) {
      for (const rule of rules) rule(values, violations);
    },
    knowsAll(values) {
      for (const name in values) if (!names.has(name)) return false;
      return true;
    },
    knows: (name) => names.has(name),
  };
}

function compileField(name: string, field: Field): FieldRule {
  const path = `fields.${name}`;
  const { required, unit } = field;
  const [kind, typeName] = KIND_OF[field.type] ?? ["stringValue", "STRING"];
  const expected = unit === "" ? typeName : `${typeName} in ${unit}`;
  const checkValue = compileRules(path, field);
  return (values, violations) => {
    const value = values[name]?.kind;
    if (value === undefined || value.case === undefined) {
      if (required) violations.push(violation(path, "missing_field", `${path} is required`));
    } else if (value.case !== kind) {
      const description = `${path} must be ${expected}, not ${value.case.replace("Value", "").toUpperCase()} (${show(value.value)})`;
      violations.push(violation(path, "wrong_type", description));
    } else {
      checkValue(value.value as never, violations);
    }
  };
}

function compileRules(path: string, field: Field): (value: never, violations: Violation[]) => void {
  switch (field.type) {
    case FieldType.STRING:
      return compileText(path, field);
    case FieldType.DOUBLE:
    case FieldType.INT64:
      return compileRange(path, field);
    default:
      return () => undefined;
  }
}

function compileRange(
  path: string,
  { min, max, unit }: Field,
): (value: number | bigint, violations: Violation[]) => void {
  const suffix = unit === "" ? "" : ` ${unit}`;
  const finite = `must be a finite number${unit === "" ? "" : ` in ${unit}`}`;
  const low = min ?? -Infinity;
  const high = max ?? Infinity;
  return (value, violations) => {
    if (value >= low && value <= high && (typeof value === "bigint" || Number.isFinite(value))) return;
    const rule =
      typeof value === "number" && !Number.isFinite(value)
        ? finite
        : value < low
          ? `must be at least ${min}${suffix}`
          : `must be at most ${max}${suffix}`;
    violations.push(violation(path, "field_out_of_range", `${path} ${rule}, not ${value}`));
  };
}

function compileText(
  path: string,
  { pattern, allowed, maxLength }: Field,
): (value: string, violations: Violation[]) => void {
  const matches = pattern === "" ? undefined : compilePattern(pattern);
  const values = allowed.length === 0 ? undefined : new Set(allowed);
  const longest = maxLength ?? Infinity;
  return (value, violations) => {
    // Code units are at least as many as characters, so the short way decides nearly always.
    if (value.length > longest && charactersIn(value) > longest) {
      const description = `${path} must have at most ${longest} characters, not ${charactersIn(value)}`;
      violations.push(violation(path, "too_long", description));
    }
    if (values !== undefined && !values.has(value)) {
      const description = `${path} must be one of ${allowed.join(", ")}, not ${show(value)}`;
      violations.push(violation(path, "value_not_allowed", description));
    }
    if (matches !== undefined && !matches(value)) {
      const description = `${path} must match ${pattern}, not ${show(value)}`;
      violations.push(violation(path, "pattern_mismatch", description));
    }
  };
}

/** Code points: what a person, and RE2, would call characters. */
const charactersIn = (text: string): number => Array.from(text).length;
