import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type MadeBy, type Prediction, MadeBy as Step } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { encodeAnswer } from "./storedAnswer.ts";

/** A prediction as it is stored. */
export interface PredictionRow {
  readonly id: string;
  readonly requestId: string;
  readonly joinKey: string;
  readonly predictedAtMs: number;
  readonly probability: number;
  readonly decision: string;
  readonly modelVersion: string;
  readonly madeBy: MadeBy;
  /** Float64, little endian, one after the other: NaN is missing. */
  readonly features: Buffer;
  /** As `encodeAnswer` has it; null for BINARY. */
  readonly answer: Uint8Array | null;
  readonly traceparent: string;
  /** The share that was held out of decisions, when this was. */
  readonly heldOut?: number | undefined;
}

/** @param traceparent of the message that carried it; "" when it was not sampled. */
export function predictionRow(prediction: Prediction, traceparent: string): PredictionRow {
  return {
    id: prediction.id,
    requestId: prediction.requestId,
    joinKey: prediction.joinKey,
    predictedAtMs: prediction.occurredAt === undefined ? 0 : timestampMs(prediction.occurredAt),
    probability: prediction.probability,
    decision: prediction.decision,
    modelVersion: prediction.modelVersion,
    madeBy: prediction.madeBy,
    features: encodeFeatures(prediction.features),
    answer: encodeAnswer(prediction),
    traceparent,
    heldOut: prediction.heldOut,
  };
}

export function encodeFeatures(features: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(features.length * 8);
  for (let index = 0; index < features.length; index += 1) bytes.writeDoubleLE(features[index] as number, index * 8);
  return bytes;
}

export function decodeFeatures(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readDoubleLE(index * 8));
}

const MADE_BY_NAME: Readonly<Record<number, string>> = {
  [Step.CHAMPION]: "CHAMPION",
  [Step.PREVIOUS]: "PREVIOUS",
  [Step.BASELINE]: "BASELINE",
  [Step.CONSTANT]: "CONSTANT",
  [Step.CANARY]: "CANARY",
};

export const madeByName = (madeBy: number): string => MADE_BY_NAME[madeBy] ?? "UNSPECIFIED";
