import type { Violation } from "@millrace/runtime";

/**
 * How the handling of one message ended. `settle.ts` maps each to JetStream:
 *
 * - `done`: its effect is durable; acknowledge. Of a message with several parts, those that never can be handled are kept on REJECTED
 *   first, each on its own.
 * - `retry`: not now; deliver it again after the delay.
 * - `reject`: it never can; keep it on REJECTED with the reason, and deliver it no more.
 * - `skip`: nothing to do, on purpose; acknowledge and count.
 */
export type Outcome =
  | { readonly kind: "done"; readonly rejected?: readonly RejectedPart[] }
  | { readonly kind: "retry"; readonly delayMs: number; readonly reason: string }
  | { readonly kind: "reject"; readonly reason: string; readonly violations: readonly Violation[] }
  | { readonly kind: "skip"; readonly reason: string };

/** A part of a message, such as one event of several, as a message that could have been sent on the same subject. */
export interface RejectedPart {
  /** Which of the message's parts, from 0. */
  readonly place: number;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly reason: string;
  readonly violations: readonly Violation[];
}

const DONE: Outcome = { kind: "done" };

export const done = (rejected: readonly RejectedPart[] = []): Outcome =>
  rejected.length === 0 ? DONE : { kind: "done", rejected };
export const retry = (delayMs: number, reason: string): Outcome => ({ kind: "retry", delayMs, reason });
export const skip = (reason: string): Outcome => ({ kind: "skip", reason });
export const reject = (reason: string, violations: readonly Violation[] = []): Outcome => ({
  kind: "reject",
  reason,
  violations,
});
