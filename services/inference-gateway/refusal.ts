import { type ErrorCode, MillraceError, type MillraceErrorOptions } from "@millrace/runtime";

/**
 * An error that says no, as it is said thousands of times a second when there is too much to do: without a stack trace, which would cost more
 * than the rest of the refusal and tells nothing, for nothing is wrong here.
 */
export function refusal(code: ErrorCode, message: string, options?: MillraceErrorOptions): MillraceError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new MillraceError(code, message, options);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** No room for a request now; there will be after so long. */
export function overload(why: string, drainMs: number): MillraceError {
  const retryAfterMs = Math.max(1, Math.ceil(drainMs));
  return refusal("resource_exhausted", `${why}; try again in ${retryAfterMs} ms`, { retryAfterMs });
}

/** So long the same refusal is told to all: its hint is as good for the last of them as for the first. */
const SAME_MS = 10;

/** Refuses many for next to nothing: one error for all who come within a few milliseconds, made, and encoded for the wire, once. */
export class Refusals {
  #error: MillraceError | undefined;
  #until = 0;

  /** @param now milliseconds on any clock, always the same one */
  get(now: number, make: () => MillraceError): MillraceError {
    if (this.#error === undefined || now >= this.#until) {
      this.#error = make();
      this.#until = now + SAME_MS;
    }
    return this.#error;
  }
}
