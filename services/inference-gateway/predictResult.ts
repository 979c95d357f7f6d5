import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  PredictErrorSchema,
  type PredictResult,
  PredictResultSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { toStatus } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { Recorded } from "./recorder.ts";

/** A row's or a message's answer. */
export function answered({ prediction, recorded }: Recorded): PredictResult {
  const { requestId } = prediction;
  return create(PredictResultSchema, { requestId, result: { case: "prediction", value: prediction }, recorded });
}

/** Why there is none, as a call of its own would have failed. */
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
