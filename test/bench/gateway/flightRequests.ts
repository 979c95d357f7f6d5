import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { APP, type Flights, requestFields } from "@millrace/flight-delays";
import { ModelInferRequestSchema } from "@millrace/proto/inference/grpc_service_pb.ts";
import {
  PredictBatchRequestSchema,
  PredictRequestSchema,
  PredictStreamRequestSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { INPUT } from "../../../services/training/export/onnx.ts";

export const MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer";
export const MODEL_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer";
export const PREDICT = "/millrace.prediction.v1.PredictionService/Predict";
export const PREDICT_BATCH = "/millrace.prediction.v1.PredictionService/PredictBatch";
export const PREDICT_STREAM = "/millrace.prediction.v1.PredictionService/PredictStream";

/** A question about a flight, at its departure; the gateway makes the request id, another one for each call. */
export const flightRow = (flights: Flights, index: number) => ({
  occurredAt: timestampFromMs(flights.departureMs[index] as number),
  fields: requestFields(flights, index),
});

export const predictRequest = (flights: Flights, index: number): Uint8Array =>
  toBinary(PredictRequestSchema, create(PredictRequestSchema, { app: APP, ...flightRow(flights, index) }));

export const predictStreamRequest = (flights: Flights, index: number): Uint8Array =>
  toBinary(
    PredictStreamRequestSchema,
    create(PredictStreamRequestSchema, { app: APP, row: flightRow(flights, index) }),
  );

/** About the first so many flights. */
export function predictBatchRequest(flights: Flights, rows: number): Uint8Array {
  const batch = { app: APP, rows: Array.from({ length: rows }, (_, index) => flightRow(flights, index)) };
  return toBinary(PredictBatchRequestSchema, create(PredictBatchRequestSchema, batch));
}

/** Rows of inputs for the app's model, one after the other. */
export function modelInferRequest(inputs: Float32Array, rows = 1): Uint8Array {
  const request = create(ModelInferRequestSchema, {
    modelName: APP,
    inputs: [{ name: INPUT, datatype: "FP32", shape: [BigInt(rows), BigInt(inputs.length / rows)] }],
    rawInputContents: [new Uint8Array(inputs.buffer, inputs.byteOffset, inputs.byteLength)],
  });
  return toBinary(ModelInferRequestSchema, request);
}
