import { readFileSync } from "node:fs";
import { MillraceError, type Violation } from "./error.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads a service's settings from the environment. Every wrong one is collected, so that one start names them all.
 * A setting `NAME` may also come from the file that `NAME_FILE` names, as secrets do on a cluster.
 */
export class ConfigReader {
  readonly #environment: Environment;
  readonly #violations: Violation[] = [];

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  get violations(): readonly Violation[] {
    return this.#violations;
  }

  /** A string; required when no default is given. */
  string(name: string, fallback?: string): string {
    const value = this.optional(name) ?? fallback;
    if (value === undefined) {
      this.#fail(name, "missing", `${name} is not set; set it, or ${name}_FILE to a file that holds it`);
      return "";
    }
    return value;
  }

  /** A string, or undefined when it is not set. */
  optional(name: string): string | undefined {
    const value = this.#environment[name];
    if (value !== undefined && value !== "") return value;
    const file = this.#environment[`${name}_FILE`];
    if (file === undefined || file === "") return undefined;
    try {
      return readFileSync(file, "utf8").trim();
    } catch (error) {
      this.#fail(`${name}_FILE`, "unreadable", `${name}_FILE: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** A whole number within [min, max]. */
  integer(name: string, fallback: number, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}): number {
    const value = this.number(name, fallback, { min, max });
    if (!Number.isInteger(value)) {
      this.#fail(name, "not_an_integer", `${name} must be a whole number, not ${value}`);
      return fallback;
    }
    return value;
  }

  /** A number within [min, max]. */
  number(name: string, fallback: number, { min = -Infinity, max = Infinity } = {}): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!Number.isFinite(value) || value < min || value > max) {
      this.#fail(name, "out_of_range", `${name} must be a number from ${min} to ${max}, not "${text}"`);
      return fallback;
    }
    return value;
  }

  #fail(field: string, reason: string, description: string): void {
    this.#violations.push({ field, reason, description });
  }
}

/** Builds a typed configuration; throws one `invalid_argument` that names every setting that is wrong. */
export function readConfig<Config>(environment: Environment, build: (reader: ConfigReader) => Config): Config {
  const reader = new ConfigReader(environment);
  const config = build(reader);
  if (reader.violations.length > 0) {
    const lines = reader.violations.map((violation) => violation.description);
    throw new MillraceError("invalid_argument", `Cannot start: ${lines.join("; ")}`, { violations: reader.violations });
  }
  return config;
}
