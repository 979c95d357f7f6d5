import { parse } from "@bufbuild/cel";
import { type Field, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MillraceError, type Violation } from "@millrace/runtime";
import { compileCall } from "./expressionFunctions.ts";
import { compileIn, compileOperator, isOperator } from "./expressionOperators.ts";
import {
  type Compiled,
  constantOf,
  type Evaluate,
  type ExpressionType,
  type Fields,
  type Node,
  type Raw,
  UNKNOWN,
} from "./expressionTypes.ts";
import { listNames } from "./problems.ts";

export type ResultType = "bool" | "int" | "double" | "string" | "timestamp";

/** A result as CEL has it: bigint for int, milliseconds for timestamp; undefined when it is missing. */
export type RawValue = Raw;

export interface ExpressionOptions {
  /** What the expression calls its input: `event` or `request`. */
  readonly variable: "event" | "request";
  /** The input's fields; `occurred_at` is always there beside them. */
  readonly fields: Readonly<Record<string, Field>>;
  /** Texts beside the input, by name, with what reads them while the expression runs. */
  readonly texts?: Readonly<Record<string, () => string>>;
  /** The result types that are allowed here. */
  readonly results: readonly ResultType[];
  /** Where the expression stands in the app file, for messages. Default: the expression itself. */
  readonly path?: string;
}

/** A CEL expression (https://cel.dev), checked against the fields that it may use and compiled to closures. */
export interface Expression {
  readonly text: string;
  readonly type: ResultType;
  /** The fields that it reads, sorted. */
  readonly reads: readonly string[];
  /**
   * The result for an input, about 0.1 µs. Undefined when a field that decides is missing, or the result is not a finite number. An
   * int becomes a number, a timestamp its milliseconds; a string becomes a 53-bit hash of it, which is enough to tell values apart.
   *
   * @param occurredAtMs the input's event time, in milliseconds
   */
  evaluate(fields: Fields, occurredAtMs: number): number | boolean | undefined;
  /** The result with nothing lost: all 64 bits of an int, and the string itself. */
  readonly raw: (fields: Fields, occurredAtMs: number) => RawValue;
}

/**
 * Parses, type-checks and compiles an expression. Known are the operators, has(), the conversions, the functions on strings,
 * timestamps (in UTC) and durations, and `in` with a list of literals; no macros, bytes or uints.
 *
 * @throws `invalid_argument` with every mistake: the path, the expression, what is allowed.
 */
export function compileExpression(text: string, options: ExpressionOptions): Expression {
  const path = options.path ?? text;
  const violations: Violation[] = [];
  const report = (reason: string, description: string): Compiled => {
    violations.push({ field: path, reason, description: `${description} (in: ${text})` });
    return UNKNOWN;
  };
  const compiler = new Compiler(options, report);
  const compiled = compiler.compileText(text);
  if (compiled.type !== "unknown" && !options.results.includes(compiled.type as ResultType)) {
    report("wrong_type", `the result must be ${options.results.join(" or ")}, not ${compiled.type}`);
  }
  if (violations.length > 0) {
    const lines = violations.map(({ description }) => description).join("; ");
    throw new MillraceError("invalid_argument", `${path}: ${lines}`, { violations });
  }
  const type = compiled.type as ResultType;
  const { evaluate: raw } = compiled;
  return { text, type, reads: [...compiler.reads].sort(), raw, evaluate: resultOf(type, raw) };
}

const TYPE_OF_FIELD: Readonly<Record<number, ExpressionType>> = {
  [FieldType.STRING]: "string",
  [FieldType.DOUBLE]: "double",
  [FieldType.INT64]: "int",
  [FieldType.BOOL]: "bool",
  [FieldType.TIMESTAMP]: "timestamp",
};

class Compiler {
  readonly reads = new Set<string>();
  readonly #options: ExpressionOptions;
  readonly #report: (reason: string, description: string) => Compiled;

  constructor(options: ExpressionOptions, report: (reason: string, description: string) => Compiled) {
    this.#options = options;
    this.#report = report;
  }

  compileText(text: string): Compiled {
    let root: Node;
    try {
      root = parse(text).expr;
    } catch (error) {
      return this.#report("syntax", `not a CEL expression: ${(error as Error).message}`);
    }
    return this.#compile(root);
  }

  #compile({ exprKind }: Node): Compiled {
    switch (exprKind.case) {
      case "constExpr":
        return this.#literal(exprKind.value.constantKind);
      case "selectExpr":
        return this.#select(exprKind.value.operand as Node, exprKind.value.field, exprKind.value.testOnly);
      case "callExpr": {
        const { function: name, target, args } = exprKind.value;
        return this.#call(name, target, args);
      }
      case "identExpr":
        return this.#identifier(exprKind.value.name);
      case "listExpr":
        return this.#report("unsupported", "a list may stand only after `in`");
      case "comprehensionExpr":
        return this.#report("unsupported", "macros such as exists() and map() are not known: fields hold no lists");
      default:
        return this.#report("unsupported", "maps and messages cannot be made here");
    }
  }

  #literal(kind: { case: string | undefined; value?: unknown }): Compiled {
    switch (kind.case) {
      case "boolValue":
        return constantOf("bool", kind.value as boolean);
      case "int64Value":
        return constantOf("int", kind.value as bigint);
      case "doubleValue":
        return constantOf("double", kind.value as number);
      case "stringValue":
        return constantOf("string", kind.value as string);
      case "nullValue":
        return this.#report("unsupported", "there is no null; ask has(…) whether a field is there");
      default:
        return this.#report("unsupported", "literals are bool, int, double and string");
    }
  }

  #identifier(name: string): Compiled {
    const { variable, texts = {} } = this.#options;
    const text = Object.hasOwn(texts, name) ? texts[name] : undefined;
    if (text !== undefined) return { type: "string", evaluate: text };
    if (name === variable) return this.#report("wrong_type", `name a field: ${variable}.<field>; ${this.#allowed()}`);
    const called = [variable, ...Object.keys(texts)].join(", ");
    return this.#report("unknown_name", `there is no ${name}; the input is called ${called}, ${this.#allowed()}`);
  }

  #select(operand: Node, name: string, testOnly: boolean): Compiled {
    const { variable, fields } = this.#options;
    if (operand.exprKind.case !== "identExpr" || operand.exprKind.value.name !== variable) {
      return operand.exprKind.case === "identExpr"
        ? this.#identifier(operand.exprKind.value.name)
        : this.#report("wrong_type", `.${name} can be asked of ${variable} only`);
    }
    if (name === "occurred_at") {
      return testOnly ? constantOf("bool", true) : { type: "timestamp", evaluate: (_, occurredAtMs) => occurredAtMs };
    }
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const type = field === undefined ? undefined : TYPE_OF_FIELD[field.type];
    if (type === undefined)
      return this.#report("unknown_field", `${variable} has no field ${name}; ${this.#allowed()}`);
    this.reads.add(name);
    const evaluate = readField(name, type);
    return testOnly
      ? { type: "bool", evaluate: (inputs, at) => evaluate(inputs, at) !== undefined }
      : { type, evaluate };
  }

  #call(name: string, target: Node | undefined, args: readonly Node[]): Compiled {
    if (name === "@in") {
      const [left, list] = args as readonly [Node, Node];
      if (list.exprKind.case !== "listExpr")
        return this.#report("unsupported", "`in` needs a list of literals after it");
      const items = list.exprKind.value.elements.map((element) => this.#compile(element));
      return compileIn(this.#compile(left), items, this.#report);
    }
    if (name === "_[_]") return this.#report("unsupported", `write ${this.#options.variable}.<field> instead of […]`);
    const operands = args.map((operand) => this.#compile(operand));
    if (target === undefined && isOperator(name)) return compileOperator(name, operands, this.#report);
    return compileCall(name, target === undefined ? undefined : this.#compile(target), operands, this.#report);
  }

  #allowed(): string {
    return `its fields: ${listNames(["occurred_at", ...Object.keys(this.#options.fields)])}`;
  }
}

const KIND_OF_TYPE: Readonly<Partial<Record<ExpressionType, string>>> = {
  string: "stringValue",
  double: "doubleValue",
  int: "int64Value",
  bool: "boolValue",
};

/** Reads a field; a value of another kind than the schema's counts as missing. */
function readField(name: string, type: ExpressionType): Evaluate {
  if (type === "timestamp") {
    return (fields) => {
      const kind = fields[name]?.kind;
      if (kind?.case !== "timestampValue") return undefined;
      return Number(kind.value.seconds) * 1_000 + Math.floor(kind.value.nanos / 1_000_000);
    };
  }
  const expected = KIND_OF_TYPE[type] as "doubleValue";
  return (fields) => {
    const kind = fields[name]?.kind;
    return kind?.case === expected ? kind.value : undefined;
  };
}

function resultOf(type: ResultType, evaluate: Evaluate): Expression["evaluate"] {
  switch (type) {
    case "bool":
      return evaluate as Expression["evaluate"];
    case "string":
      return (fields, at) => {
        const text = evaluate(fields, at);
        return text === undefined ? undefined : hash53(text as string);
      };
    default:
      return (fields, at) => {
        const value = evaluate(fields, at);
        if (value === undefined) return undefined;
        const result = typeof value === "number" ? value : Number(value);
        return Number.isFinite(result) ? result : undefined;
      };
  }
}

/** Two rounds of FNV-1a over UTF-16 code units (http://www.isthe.com/chongo/tech/comp/fnv/), 53 bits of them. */
function hash53(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit ^ (low >>> 16), 0x85ebca6b);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}
