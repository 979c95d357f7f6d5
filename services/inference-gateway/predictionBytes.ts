import { toBinary } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { DecisionBand, Interval, Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import {
  type PredictResult,
  PredictResultSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { ProtobufWriter } from "./protobufWriter.ts";

const writer = new ProtobufWriter();

/** Predictions as a `Predictions`, and each for itself: views of the same memory. */
export interface EncodedPredictions {
  readonly message: Uint8Array;
  readonly each: readonly Uint8Array[];
}

/**
 * Encodes predictions once, for the bus and for their answers: byte for byte as protobuf-es does, in a fifth of the time. Fields that this
 * version does not know are left out.
 */
export function encodePredictions(predictions: readonly Prediction[]): EncodedPredictions {
  const ends: number[] = [];
  const starts: number[] = [];
  for (const prediction of predictions) {
    const start = writer.begin(1);
    writePrediction(prediction);
    starts.push(writer.end(start));
    ends.push(writer.length);
  }
  const message = writer.take();
  return { message, each: starts.map((start, index) => message.subarray(start, ends[index])) };
}

function writePrediction(prediction: Prediction): void {
  writer.string(1, prediction.id);
  writer.string(2, prediction.app);
  writer.string(3, prediction.requestId);
  writer.string(4, prediction.joinKey);
  writeTime(5, prediction.occurredAt);
  writer.double(6, prediction.probability);
  writer.string(7, prediction.decision);
  writer.string(8, prediction.modelVersion);
  writer.number(9, prediction.madeBy);
  writer.string(10, prediction.reason);
  writer.doubles(11, prediction.features);
  writer.number(12, prediction.appVersion);
  writeTime(13, prediction.featuresAsOf);
  writer.number(14, prediction.durationUs);
  writer.number(15, prediction.featuresExact ? 1 : 0);
  writeBand(16, prediction.band);
  if (prediction.featuresAgeMs !== undefined) writer.presentBigint(17, prediction.featuresAgeMs);
  writer.number(18, prediction.cached ? 1 : 0);
  if (prediction.value !== undefined) writer.presentDouble(19, prediction.value);
  writeInterval(20, prediction.interval);
  writer.string(21, prediction.predictedClass);
  writer.floats(22, prediction.classProbabilities);
  writer.strings(23, prediction.predictionSet);
  if (prediction.heldOut !== undefined) writer.presentDouble(30, prediction.heldOut);
}

function writeTime(field: number, time: Timestamp | undefined): void {
  if (time === undefined) return;
  const start = writer.begin(field);
  writer.bigint(1, time.seconds);
  writer.number(2, time.nanos);
  writer.end(start);
}

function writeBand(field: number, band: DecisionBand | undefined): void {
  if (band === undefined) return;
  const start = writer.begin(field);
  writer.double(1, band.lower);
  writer.double(2, band.upper);
  writer.number(3, band.abstain ? 1 : 0);
  writer.end(start);
}

function writeInterval(field: number, interval: Interval | undefined): void {
  if (interval === undefined) return;
  const start = writer.begin(field);
  writer.double(1, interval.lower);
  writer.double(2, interval.upper);
  writer.double(3, interval.coverage);
  writer.end(start);
}

/** A prediction that was encoded before. */
export interface Answered {
  readonly requestId: string;
  readonly bytes: Uint8Array;
  readonly recorded: boolean;
}

/** A `PredictResponse`. */
export function encodePredictResponse({ bytes, recorded }: Answered): Uint8Array {
  writer.encoded(1, bytes);
  writer.number(2, recorded ? 1 : 0);
  return writer.take();
}

/** A `PredictBatchResponse`; with one result a `PredictStreamResponse`, too. A result that is no prediction is encoded as it is. */
export function encodeResults(results: readonly (Answered | PredictResult)[]): Uint8Array {
  for (const result of results) {
    if ("$typeName" in result) {
      writer.encoded(1, toBinary(PredictResultSchema, result));
      continue;
    }
    const start = writer.begin(1);
    writer.string(1, result.requestId);
    writer.encoded(2, result.bytes);
    writer.number(4, result.recorded ? 1 : 0);
    writer.end(start);
  }
  return writer.take();
}
