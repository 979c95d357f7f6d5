import { traceparentOf } from "@millrace/bus";
import {
  PredictionService,
  type PredictStreamRequest,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { type Call, type ImplementedService, implement } from "@millrace/rpc";
import type { PredictCall } from "./answering.ts";
import { answerInOrder } from "./orderedStream.ts";
import type { Predictor } from "./predictor.ts";

/** Messages of one stream that are in hand at once: enough for full batches of the model over the way there and back. */
const STREAM_IN_HAND = 256;

/** `PredictionService`, in front of the predictor. */
export function predictionService(predictor: Predictor): ImplementedService {
  return implement(PredictionService, {
    predict: (request, call) => predictor.predict(request, predictCall(call)),
    predictBatch: (request, call) => predictor.predictBatch(request, predictCall(call)),
    predictStream: (requests, call) => {
      const { signal, traceparent } = predictCall(call);
      const answer = (request: PredictStreamRequest) => predictor.predictMessage(request, { signal, traceparent });
      return answerInOrder(requests, answer, { maxInHand: STREAM_IN_HAND, hasRoom: () => predictor.hasRoom, signal });
    },
  });
}

function predictCall({ deadlineMs, departure }: Call): PredictCall {
  return { deadlineMs, signal: departure, traceparent: traceparentOf() };
}
