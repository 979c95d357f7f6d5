import { traceparentOf } from "@millrace/bus";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import type { Predictor } from "./predictor.ts";

/** `PredictionService`, in front of the predictor. */
export function predictionService(predictor: Predictor): ImplementedService {
  return implement(PredictionService, {
    predict: (request, call) =>
      predictor.predict(request, {
        deadlineMs: call.deadlineMs,
        signal: call.signal,
        traceparent: traceparentOf(),
      }),
  });
}
