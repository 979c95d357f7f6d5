import { MillraceError, type Violation } from "@millrace/runtime";

/** Collects everything that is wrong with a file, so that a person sees it all at once. */
export class Problems {
  readonly #violations: Violation[] = [];

  get violations(): readonly Violation[] {
    return this.#violations;
  }

  get none(): boolean {
    return this.#violations.length === 0;
  }

  /**
   * @param path where in the file, such as `features.origin_late_6h.value`
   * @param reason short name of the rule, such as `unknown_field`
   * @param description the rule and the value, one sentence
   */
  add(path: string, reason: string, description: string): void {
    this.#violations.push({ field: path, reason, description });
  }

  addAll(violations: readonly Violation[]): void {
    this.#violations.push(...violations);
  }

  /** @throws `invalid_argument` with every problem, when there is one. */
  throwIfAny(subject: string): void {
    if (this.none) return;
    const lines = this.#violations.map(({ field, description }) => `  ${field}: ${description}`);
    throw new MillraceError("invalid_argument", `${subject} cannot be used:\n${lines.join("\n")}`, {
      violations: this.#violations,
    });
  }
}

/** A path in the file: names joined by dots, `events["flight.landed"].fields.delay` where a name has dots itself. */
export function joinPath(parent: string, name: string | number): string {
  if (typeof name === "number") return `${parent}[${name}]`;
  const plain = /^[A-Za-z0-9_-]+$/.test(name);
  if (!plain) return `${parent}[${JSON.stringify(name)}]`;
  return parent === "" ? name : `${parent}.${name}`;
}

/** A value as a message shows it: short, and quoted when it is a text. */
export function show(value: unknown): string {
  const text = typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** ` (allowed: a, b, c)`, sorted, for messages about unknown names. */
export function listNames(names: Iterable<string>): string {
  const sorted = [...names].sort();
  return sorted.length === 0 ? "none" : sorted.join(", ");
}
