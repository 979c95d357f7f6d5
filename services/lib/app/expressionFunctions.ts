import { RE2JS } from "@bufbuild/re2";
import { parseDurationMs } from "./duration.ts";
import { checkedInt } from "./expressionOperators.ts";
import { type Compiled, constantOf, type ExpressionType, type Raw, type Report, UNKNOWN } from "./expressionTypes.ts";

const DAY_MS = 86_400_000;

/** The part of a whole: like %, but never negative. */
const modulo = (value: number, divisor: number): number => ((value % divisor) + divisor) % divisor;

const dateOf = (value: number): Date => new Date(value);

/** Methods of a timestamp, in UTC. As in CEL: months, days of the month and of the year count from 0, Sunday is 0. */
const TIMESTAMP_PARTS: Readonly<Record<string, (milliseconds: number) => number>> = {
  getFullYear: (value) => dateOf(value).getUTCFullYear(),
  getMonth: (value) => dateOf(value).getUTCMonth(),
  getDate: (value) => dateOf(value).getUTCDate(),
  getDayOfMonth: (value) => dateOf(value).getUTCDate() - 1,
  getDayOfWeek: (value) => modulo(Math.floor(value / DAY_MS) + 4, 7),
  getDayOfYear: (value) => Math.floor((value - Date.UTC(dateOf(value).getUTCFullYear(), 0, 1)) / DAY_MS),
  getHours: (value) => Math.floor(modulo(value, DAY_MS) / 3_600_000),
  getMinutes: (value) => Math.floor(modulo(value, 3_600_000) / 60_000),
  getSeconds: (value) => Math.floor(modulo(value, 60_000) / 1_000),
  getMilliseconds: (value) => modulo(value, 1_000),
};

/** Methods of a duration: the whole of it in that unit, except for the milliseconds, which are the rest of the second. */
const DURATION_PARTS: Readonly<Record<string, (milliseconds: number) => number>> = {
  getHours: (value) => Math.trunc(value / 3_600_000),
  getMinutes: (value) => Math.trunc(value / 60_000),
  getSeconds: (value) => Math.trunc(value / 1_000),
  getMilliseconds: (value) => value % 1_000,
};

const TEXT_METHODS: Readonly<Record<string, (text: string, part: string) => boolean>> = {
  startsWith: (text, part) => text.startsWith(part),
  endsWith: (text, part) => text.endsWith(part),
  contains: (text, part) => text.includes(part),
};

/** Conversions by name and the type of what is converted. */
const CONVERSIONS: Readonly<Record<string, Readonly<Partial<Record<ExpressionType, (value: never) => Raw>>>>> = {
  double: {
    double: (value: number) => value,
    int: (value: bigint) => Number(value),
  },
  int: {
    int: (value: bigint) => value,
    double: truncate,
    timestamp: (value: number) => BigInt(Math.floor(value / 1_000)),
    duration: (value: number) => BigInt(Math.trunc(value / 1_000)),
  },
  string: {
    string: (value: string) => value,
    bool: (value: boolean) => String(value),
    int: (value: bigint) => String(value),
    double: (value: number) => String(value),
  },
  bool: { bool: (value: boolean) => value },
};

/** What a message about an unknown function names. */
const KNOWN_FUNCTIONS = [
  ...Object.keys(CONVERSIONS).map((name) => `${name}(…)`),
  ..."size(…) has(…) timestamp(…) duration(…)".split(" "),
  ...[...Object.keys(TEXT_METHODS), "matches", "size", ...Object.keys(TIMESTAMP_PARTS)].map((name) => `.${name}()`),
].join(", ");

/** Checks and compiles a call of a function, or of a method when there is a target. */
export function compileCall(
  name: string,
  target: Compiled | undefined,
  operands: readonly Compiled[],
  report: Report,
): Compiled {
  const all = target === undefined ? operands : [target, ...operands];
  if (all.some(({ type }) => type === "unknown")) return UNKNOWN;
  const [first, second] = all;
  if (first !== undefined) {
    const found = target === undefined ? globalCall(name, first, second, report) : method(name, first, second, report);
    if (found !== undefined) return found;
  }
  const types = all.map(({ type }) => type);
  const written =
    target === undefined ? `${name}(${types.join(", ")})` : `${types[0]}.${name}(${types.slice(1).join(", ")})`;
  return report("unknown_function", `there is no ${written}; allowed: ${KNOWN_FUNCTIONS}`);
}

function globalCall(name: string, value: Compiled, second: Compiled | undefined, report: Report): Compiled | undefined {
  if (second !== undefined) return undefined;
  if (name === "size" && value.type === "string") return mapping("int", value, sizeOf);
  if ((name === "timestamp" || name === "duration") && value.type === "string") return literalTime(name, value, report);
  const convert = CONVERSIONS[name]?.[value.type] as ((value: Raw) => Raw) | undefined;
  if (convert === undefined) return undefined;
  return mapping(name as ExpressionType, value, convert);
}

function method(name: string, target: Compiled, operand: Compiled | undefined, report: Report): Compiled | undefined {
  if (target.type === "string") return textMethod(name, target, operand, report);
  if (operand !== undefined) {
    const zone = target.type === "timestamp" && name in TIMESTAMP_PARTS && operand.type === "string";
    return zone ? report("unsupported", `.${name}() works in UTC and takes no time zone`) : undefined;
  }
  const parts = target.type === "timestamp" ? TIMESTAMP_PARTS : target.type === "duration" ? DURATION_PARTS : {};
  const part = parts[name];
  return part === undefined ? undefined : mapping("int", target, (value) => BigInt(part(value as number)));
}

function textMethod(
  name: string,
  target: Compiled,
  operand: Compiled | undefined,
  report: Report,
): Compiled | undefined {
  if (name === "size" && operand === undefined) return mapping("int", target, sizeOf);
  if (operand?.type !== "string") return undefined;
  if (name === "matches") return matches(target, operand, report);
  const test = TEXT_METHODS[name];
  if (test === undefined) return undefined;
  return {
    type: "bool",
    evaluate: (fields, at) => {
      const text = target.evaluate(fields, at);
      const part = operand.evaluate(fields, at);
      return text === undefined || part === undefined ? undefined : test(text as string, part as string);
    },
  };
}

/** RE2, linear in the text's length, so that no pattern can hold up a service. */
function matches(target: Compiled, { constant }: Compiled, report: Report): Compiled {
  if (typeof constant !== "string") return report("unsupported", ".matches() takes a literal pattern only");
  try {
    const pattern = RE2JS.compile(constant);
    return mapping("bool", target, (text) => pattern.test(text as string));
  } catch (error) {
    return report(
      "bad_pattern",
      `${JSON.stringify(constant)} is not a pattern in RE2 syntax: ${(error as Error).message}`,
    );
  }
}

function literalTime(name: "timestamp" | "duration", { constant }: Compiled, report: Report): Compiled {
  if (typeof constant !== "string") return report("unsupported", `${name}(…) takes a literal text only`);
  const example = name === "timestamp" ? "2001-02-03T04:05:06Z" : "1h30m";
  const milliseconds = name === "timestamp" ? parseTimestampMs(constant) : parseCelDurationMs(constant);
  if (milliseconds !== undefined) return constantOf(name, milliseconds);
  return report("bad_literal", `${JSON.stringify(constant)} is no ${name}; write it as ${example}`);
}

function parseTimestampMs(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)$/.test(text)) return undefined;
  const milliseconds = Date.parse(text);
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

/** CEL's durations have no days or weeks, and may be negative. */
function parseCelDurationMs(text: string): number | undefined {
  const negative = text.startsWith("-");
  const magnitude = /[dw]/.test(text) ? undefined : parseDurationMs(negative ? text.slice(1) : text);
  return magnitude === undefined || !negative ? magnitude : -magnitude;
}

/** Applies a function to a value that is there. */
function mapping(type: ExpressionType, { evaluate }: Compiled, apply: (value: Raw) => Raw): Compiled {
  return {
    type,
    evaluate: (fields, at) => {
      const value = evaluate(fields, at);
      return value === undefined ? undefined : apply(value);
    },
  };
}

/** In characters (code points), as CEL counts. */
const sizeOf = (text: Raw): bigint => {
  let size = 0n;
  for (const _ of text as string) size += 1n;
  return size;
};

function truncate(value: number): bigint | undefined {
  return Math.abs(value) < 2 ** 63 ? checkedInt(BigInt(Math.trunc(value))) : undefined;
}
