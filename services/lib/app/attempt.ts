import { MillraceError } from "@millrace/runtime";
import type { Problems } from "./problems.ts";

/** Runs a check that throws, and collects what it finds. @returns its result, or undefined where it threw */
export function attempt<Result>(problems: Problems, check: () => Result): Result | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    problems.addAll(error.violations);
    return undefined;
  }
}
