import { MillraceError } from "@millrace/runtime";
import type { Problems } from "./problems.ts";

/** Runs a check that throws, and collects what it finds. */
export function attempt(problems: Problems, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    problems.addAll(error.violations);
  }
}
