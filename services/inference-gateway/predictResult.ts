import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  PredictErrorSchema,
  type PredictResult,
  PredictResultSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { toStatus } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";

/** Why a row or a message has no answer, as a call of its own would have failed. */
export function failed(requestId: string, error: unknown): PredictResult {
  const { code, details: message } = toStatus(error);
  const value = create(PredictErrorSchema, { code, message });
  if (error instanceof MillraceError) {
    value.fieldViolations = error.violations.map(({ field, description, reason }) => ({
      $typeName: "millrace.prediction.v1.FieldViolation" as const,
      field,
      description,
      reason,
    }));
    if (error.retryAfterMs !== undefined) value.retryAfter = durationFromMs(error.retryAfterMs);
  }
  return create(PredictResultSchema, { requestId, result: { case: "error", value } });
}
