import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  StatusSchema,
} from "@millrace/proto/google/rpc/status_pb.ts";
import { type ErrorCode, MillraceError, type Violation } from "@millrace/runtime";

/** The one table between Millrace's error codes and gRPC's. */
const GRPC_STATUS: Readonly<Record<ErrorCode, status>> = {
  cancelled: status.CANCELLED,
  invalid_argument: status.INVALID_ARGUMENT,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  permission_denied: status.PERMISSION_DENIED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  failed_precondition: status.FAILED_PRECONDITION,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  data_loss: status.DATA_LOSS,
};

const ERROR_CODE = new Map(Object.entries(GRPC_STATUS).map(([code, number]) => [number, code as ErrorCode]));

const DETAILS = "grpc-status-details-bin";

/** What errors of Millrace are known by in google.rpc.ErrorInfo. */
const DOMAIN = "millrace";

/**
 * Trailers have to fit into a block of HTTP/2 headers, of which clients take 8 KiB, some of them: base64 makes four bytes of three, and the
 * message is in there twice.
 */
const MAX_MESSAGE_CHARACTERS = 1_000;
const MAX_DETAILS_BYTES = 3_000;

/** How a call ended. */
export interface RpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** Of refusals: under overload the same one is told to many callers. */
const REFUSALS = new WeakMap<MillraceError, RpcStatus>();

/** What a failed call answers. A cause stays here; an error that is not a MillraceError says nothing about itself. */
export function toStatus(error: unknown): RpcStatus {
  if (!(error instanceof MillraceError)) {
    return { code: status.INTERNAL, details: "internal error; the server's log has its cause" };
  }
  const told = REFUSALS.get(error);
  if (told !== undefined) return told;
  const code = GRPC_STATUS[error.code];
  const message = shorten(error.message);
  const rich = create(StatusSchema, { code, message, details: richDetails(error) });
  const metadata = new Metadata();
  metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, rich)));
  const failed = { code, details: message, metadata };
  if (error.retryAfterMs !== undefined) REFUSALS.set(error, failed);
  return failed;
}

function richDetails(error: MillraceError) {
  const reason = (error.violations[0]?.reason ?? error.code).toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_");
  const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: DOMAIN }))];
  if (error.violations.length > 0) {
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: fittingViolations(error) })));
  }
  if (error.retryAfterMs !== undefined) {
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(error.retryAfterMs) })));
  }
  return details;
}

/** As many as fit, and one more that says how many do not. */
function fittingViolations({ violations }: MillraceError): Violation[] {
  const fitting: Violation[] = [];
  let bytes = 0;
  for (const { field, reason, description } of violations) {
    bytes += Buffer.byteLength(field) + Buffer.byteLength(reason) + Buffer.byteLength(description);
    if (bytes > MAX_DETAILS_BYTES && fitting.length > 0) break;
    fitting.push({ field, reason, description: shorten(description) });
  }
  const left = violations.length - fitting.length;
  if (left > 0) fitting.push({ field: "", reason: "more", description: `${left} more; mend these first` });
  return fitting;
}

function shorten(text: string): string {
  if (text.length <= MAX_MESSAGE_CHARACTERS) return text;
  // Half of a surrogate pair cannot be encoded.
  return `${text.slice(0, MAX_MESSAGE_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

/** A failed call, as the caller's own error, with violations and retry hint where the server sent them. */
export function fromStatus(failure: ServiceError): MillraceError {
  const code = ERROR_CODE.get(failure.code) ?? "internal";
  const bytes = failure.metadata?.get(DETAILS)[0];
  if (!(bytes instanceof Uint8Array))
    return new MillraceError(code, failure.details || failure.message, { cause: failure });
  const rich = fromBinary(StatusSchema, bytes);
  const violations = [];
  let retryAfterMs: number | undefined;
  for (const detail of rich.details) {
    violations.push(...(anyUnpack(detail, BadRequestSchema)?.fieldViolations ?? []));
    const retryDelay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
    if (retryDelay !== undefined) retryAfterMs = durationMs(retryDelay);
  }
  return new MillraceError(code, failure.details, {
    violations,
    cause: failure,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
