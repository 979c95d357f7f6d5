import type { Violation } from "@millrace/runtime";

/**
 * How the handling of one message ended. `settle.ts` maps each to JetStream:
 *
 * - `done`: its effect is durable; acknowledge.
 * - `retry`: not now; deliver it again after the delay.
 * - `reject`: it never can; keep it on REJECTED with the reason, and deliver it no more.
 * - `skip`: nothing to do, on purpose; acknowledge and count.
 */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "retry"; readonly delayMs: number; readonly reason: string }
  | { readonly kind: "reject"; readonly reason: string; readonly violations: readonly Violation[] }
  | { readonly kind: "skip"; readonly reason: string };

const DONE: Outcome = { kind: "done" };

export const done = (): Outcome => DONE;
export const retry = (delayMs: number, reason: string): Outcome => ({ kind: "retry", delayMs, reason });
export const skip = (reason: string): Outcome => ({ kind: "skip", reason });
export const reject = (reason: string, violations: readonly Violation[] = []): Outcome => ({
  kind: "reject",
  reason,
  violations,
});
