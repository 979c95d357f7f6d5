import {
  type Compiled,
  constantOf,
  type Evaluate,
  type ExpressionType,
  type Raw,
  type Report,
  UNKNOWN,
} from "./expressionTypes.ts";

const MAX_INT = 9_223_372_036_854_775_807n;
const MIN_INT = -9_223_372_036_854_775_808n;

const isNumber = (type: ExpressionType): boolean => type === "int" || type === "double";

/** An int that fits 64 bits, else nothing: CEL's overflow. */
export const checkedInt = (value: bigint): bigint | undefined =>
  value >= MIN_INT && value <= MAX_INT ? value : undefined;

/** How CEL compares numbers of both kinds: as doubles. */
const asDouble = (value: Raw): number => Number(value);

type Compare = (left: never, right: never) => boolean;

const COMPARISONS: Readonly<Record<string, Compare>> = {
  "_<_": (left, right) => left < right,
  "_<=_": (left, right) => left <= right,
  "_>_": (left, right) => left > right,
  "_>=_": (left, right) => left >= right,
  // Numbers of both kinds may meet here, and only == compares a bigint with a number.
  // oxlint-disable-next-line eslint/eqeqeq
  "_==_": (left, right) => left == right,
  // oxlint-disable-next-line eslint/eqeqeq
  "_!=_": (left, right) => left != right,
};

type Calculate = (left: never, right: never) => Raw;

const ARITHMETIC: Readonly<Record<string, Readonly<Record<string, readonly [ExpressionType, Calculate]>>>> = {
  "_+_": {
    "int int": ["int", (left: bigint, right: bigint) => checkedInt(left + right)],
    "double double": ["double", (left: number, right: number) => left + right],
    "string string": ["string", (left: string, right: string) => left + right],
    "duration duration": ["duration", (left: number, right: number) => left + right],
    "timestamp duration": ["timestamp", (left: number, right: number) => left + right],
    "duration timestamp": ["timestamp", (left: number, right: number) => left + right],
  },
  "_-_": {
    "int int": ["int", (left: bigint, right: bigint) => checkedInt(left - right)],
    "double double": ["double", (left: number, right: number) => left - right],
    "timestamp timestamp": ["duration", (left: number, right: number) => left - right],
    "timestamp duration": ["timestamp", (left: number, right: number) => left - right],
    "duration duration": ["duration", (left: number, right: number) => left - right],
  },
  "_*_": {
    "int int": ["int", (left: bigint, right: bigint) => checkedInt(left * right)],
    "double double": ["double", (left: number, right: number) => left * right],
  },
  "_/_": {
    "int int": ["int", (left: bigint, right: bigint) => (right === 0n ? undefined : checkedInt(left / right))],
    "double double": ["double", (left: number, right: number) => left / right],
  },
  "_%_": {
    "int int": ["int", (left: bigint, right: bigint) => (right === 0n ? undefined : left % right)],
  },
};

const SYMBOLS: Readonly<Record<string, string>> = { "@in": "in", "!_": "!", "-_": "-", "_?_:_": "?:" };

/** How an operator is written, for messages. */
export const symbolOf = (operator: string): string => SYMBOLS[operator] ?? operator.replaceAll("_", "");

export const isOperator = (name: string): boolean =>
  name in COMPARISONS || name in ARITHMETIC || name in SYMBOLS || name === "_&&_" || name === "_||_";

/** Checks an operator against its operands' types and compiles it. */
export function compileOperator(name: string, operands: readonly Compiled[], report: Report): Compiled {
  if (operands.some(({ type }) => type === "unknown")) return UNKNOWN;
  const [first, second, third] = operands as readonly [Compiled, Compiled, Compiled];
  switch (name) {
    case "!_":
      return first.type === "bool"
        ? negation(first)
        : report("wrong_type", `! needs a bool, not ${article(first.type)}`);
    case "-_":
      return minus(first, report);
    case "_&&_":
    case "_||_":
      return logical(name, first, second, report);
    case "_?_:_":
      return conditional(first, second, third, report);
    default:
      return name in COMPARISONS ? comparison(name, first, second, report) : arithmetic(name, first, second, report);
  }
}

function negation({ evaluate }: Compiled): Compiled {
  return {
    type: "bool",
    evaluate: (fields, at) => {
      const value = evaluate(fields, at);
      return value === undefined ? undefined : !value;
    },
  };
}

function minus({ type, evaluate, constant }: Compiled, report: Report): Compiled {
  if (!isNumber(type)) return report("wrong_type", `- needs a number, not ${article(type)}`);
  const negate = (value: Raw): Raw => {
    if (value === undefined) return undefined;
    return typeof value === "bigint" ? checkedInt(-value) : -(value as number);
  };
  if (constant !== undefined) return constantOf(type, negate(constant));
  return { type, evaluate: (fields, at) => negate(evaluate(fields, at)) };
}

/** In CEL, `true || error` is true and `false && error` is false, whichever side the error is on. */
function logical(name: string, left: Compiled, right: Compiled, report: Report): Compiled {
  for (const { type } of [left, right]) {
    if (type !== "bool")
      return report("wrong_type", `${symbolOf(name)} needs a bool on both sides, not ${article(type)}`);
  }
  const decisive = name === "_||_";
  const evaluate: Evaluate = (fields, at) => {
    const first = left.evaluate(fields, at);
    if (first === decisive) return decisive;
    const second = right.evaluate(fields, at);
    if (second === decisive) return decisive;
    return first === undefined || second === undefined ? undefined : !decisive;
  };
  return { type: "bool", evaluate };
}

function conditional(condition: Compiled, yes: Compiled, no: Compiled, report: Report): Compiled {
  if (condition.type !== "bool")
    return report("wrong_type", `?: needs a bool before the ?, not ${article(condition.type)}`);
  if (yes.type !== no.type) {
    return report(
      "wrong_type",
      `both results of ?: must have one type, not ${yes.type} and ${no.type}${hint(yes.type, no.type)}`,
    );
  }
  const evaluate: Evaluate = (fields, at) => {
    const chosen = condition.evaluate(fields, at);
    if (chosen === undefined) return undefined;
    return chosen === true ? yes.evaluate(fields, at) : no.evaluate(fields, at);
  };
  return { type: yes.type, evaluate };
}

function comparison(name: string, left: Compiled, right: Compiled, report: Report): Compiled {
  const mixed = left.type !== right.type;
  if (mixed && !(isNumber(left.type) && isNumber(right.type))) {
    return report(
      "wrong_type",
      `cannot compare ${article(left.type)} with ${article(right.type)} by ${symbolOf(name)}`,
    );
  }
  const compare = COMPARISONS[name] as (left: Raw, right: Raw) => boolean;
  const exact = !mixed || name === "_==_" || name === "_!=_";
  const { evaluate: evaluateLeft } = left;
  const { evaluate: evaluateRight, constant } = right;
  if (constant !== undefined && exact) {
    return {
      type: "bool",
      evaluate: (fields, at) => {
        const value = evaluateLeft(fields, at);
        return value === undefined ? undefined : compare(value, constant);
      },
    };
  }
  return {
    type: "bool",
    evaluate: (fields, at) => {
      const first = evaluateLeft(fields, at);
      const second = evaluateRight(fields, at);
      if (first === undefined || second === undefined) return undefined;
      return exact ? compare(first, second) : compare(asDouble(first), asDouble(second));
    },
  };
}

function arithmetic(name: string, left: Compiled, right: Compiled, report: Report): Compiled {
  const found = ARITHMETIC[name]?.[`${left.type} ${right.type}`];
  if (found === undefined) {
    const advice = hint(left.type, right.type);
    return report("wrong_type", `cannot calculate ${left.type} ${symbolOf(name)} ${right.type}${advice}`);
  }
  const [type, calculate] = found as readonly [ExpressionType, (left: Raw, right: Raw) => Raw];
  return {
    type,
    evaluate: (fields, at) => {
      const first = left.evaluate(fields, at);
      const second = right.evaluate(fields, at);
      return first === undefined || second === undefined ? undefined : calculate(first, second);
    },
  };
}

/** Compiles `left in [literals]`. */
export function compileIn(left: Compiled, items: readonly Compiled[], report: Report): Compiled {
  if (left.type === "unknown" || items.some(({ type }) => type === "unknown")) return UNKNOWN;
  for (const { type, constant } of items) {
    if (constant === undefined) return report("unsupported", "the list after `in` may hold literals only");
    if (type !== left.type && !(isNumber(type) && isNumber(left.type))) {
      return report("wrong_type", `the list holds ${article(type)}, but ${article(left.type)} is looked for in it`);
    }
  }
  const constants = items.map(({ constant }) => constant);
  const evaluate: Evaluate = (fields, at) => {
    const value = left.evaluate(fields, at);
    if (value === undefined) return undefined;
    // oxlint-disable-next-line eslint/eqeqeq
    return constants.some((constant) => constant == value);
  };
  return { type: "bool", evaluate };
}

const article = (type: ExpressionType): string => (type === "int" ? "an int" : `a ${type}`);

function hint(left: ExpressionType, right: ExpressionType): string {
  return left !== right && isNumber(left) && isNumber(right)
    ? "; write 15.0 for a double, or convert with double(…)"
    : "";
}
