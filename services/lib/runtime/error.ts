/** gRPC's status words, in lower case: one vocabulary of failure for the bus, the services and the wire. */
export type ErrorCode =
  | "cancelled"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss";

/** One broken rule: which field (a path such as `fields.delay`), which rule (`max 2880 minute`), and what came. */
export interface Violation {
  readonly field: string;
  /** Short machine-readable name, such as `field_out_of_range`: counted, and searched for. */
  readonly reason: string;
  /** One sentence with the rule and the value. */
  readonly description: string;
}

export interface MillraceErrorOptions {
  readonly violations?: readonly Violation[];
  /** When to try again, for `resource_exhausted` and `unavailable`. */
  readonly retryAfterMs?: number;
  /** Kept for the log; never sent to a caller. */
  readonly cause?: unknown;
}

/**
 * The only error class of Millrace. The message is for a person: what was expected, what came, what to do.
 * Anything else that is thrown is a bug, and reaches a caller as `internal` without its text.
 */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly code: ErrorCode;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Says in one line what went wrong, for logs and terminals. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
