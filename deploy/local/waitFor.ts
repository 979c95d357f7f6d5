import { setTimeout as delay } from "node:timers/promises";
import { describeError, MillraceError } from "@millrace/runtime";

export interface WaitOptions {
  /** Give up after so long. Default: 10 s. */
  readonly deadlineMs?: number;
  /** Look this often. Default: 20 ms. */
  readonly everyMs?: number;
  /** What is waited for, for the error: `the service to be ready`. */
  readonly what?: string;
  /** Stops waiting, and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until `condition` gives something other than undefined or false, and returns that. A condition that throws has
 * not come true yet.
 *
 * @throws `deadline_exceeded` with the last error, if any.
 */
export async function waitFor<Value>(
  condition: () => Value | Promise<Value>,
  { deadlineMs = 10_000, everyMs = 20, what = "a condition", signal }: WaitOptions = {},
): Promise<Exclude<Value, undefined | false>> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    let failure: unknown;
    signal?.throwIfAborted();
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value as Exclude<Value, undefined | false>;
    } catch (error) {
      failure = error;
    }
    if (Date.now() >= deadline) {
      const why = failure === undefined ? "" : `: ${describeError(failure)}`;
      throw new MillraceError("deadline_exceeded", `Waited ${deadlineMs} ms in vain for ${what}${why}`, {
        cause: failure,
      });
    }
    await delay(everyMs);
  }
}
