import type { parse } from "@bufbuild/cel";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";

/** A node of the syntax tree that the CEL library's parser makes. */
export type Node = ReturnType<typeof parse>["expr"];

/** The static types of expressions. `unknown` stands for a part that was reported already, so that it is reported once. */
export type ExpressionType = "bool" | "int" | "double" | "string" | "timestamp" | "duration" | "unknown";

export type Fields = { readonly [name: string]: Value };

/**
 * A value while an expression runs: bigint for int, milliseconds for timestamp and duration. Undefined is CEL's error: a field is
 * missing, or a calculation has no result (division by zero, overflow).
 */
export type Raw = boolean | bigint | number | string | undefined;

/** Calculates a node's value from the event's fields and its time in milliseconds. */
export type Evaluate = (fields: Fields, occurredAtMs: number) => Raw;

/** A checked part of an expression. */
export interface Compiled {
  readonly type: ExpressionType;
  readonly evaluate: Evaluate;
  /** Set when the part is a literal. */
  readonly constant?: Raw;
}

/** Told of every mistake; the part then counts as `unknown`. */
export type Report = (reason: string, description: string) => Compiled;

export const UNKNOWN: Compiled = { type: "unknown", evaluate: () => undefined };

export const constantOf = (type: ExpressionType, constant: Raw): Compiled => ({
  type,
  constant,
  evaluate: () => constant,
});
