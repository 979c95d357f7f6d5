import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, RetryInfoSchema, StatusSchema } from "@millrace/proto/google/rpc/status_pb.ts";
import { type ErrorCode, MillraceError } from "@millrace/runtime";

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

/** What a failed call answers. A cause stays here; an error that is not a MillraceError says nothing about itself. */
export function toStatus(error: unknown): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  if (!(error instanceof MillraceError)) {
    return { code: status.INTERNAL, details: "internal error; the server's log has its cause", metadata };
  }
  const code = GRPC_STATUS[error.code];
  const details = richDetails(error);
  if (details.length > 0) {
    const rich = create(StatusSchema, { code, message: error.message, details });
    metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, rich)));
  }
  return { code, details: error.message, metadata };
}

function richDetails(error: MillraceError) {
  const details = [];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.map(({ field, description, reason }) => ({ field, description, reason }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  if (error.retryAfterMs !== undefined) {
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(error.retryAfterMs) })));
  }
  return details;
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
