import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Outcome } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { type Prediction, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";

/** What MULTICLASS and REGRESSION answer beside a probability. */
export type StoredAnswer = Pick<
  Prediction,
  "value" | "interval" | "predictedClass" | "classProbabilities" | "predictionSet"
>;

/** Encodes these fields as a `Prediction` that has no others; null for BINARY, which has none of them. */
export function encodeAnswer(prediction: StoredAnswer): Uint8Array | null {
  const { value, interval, predictedClass, classProbabilities, predictionSet } = prediction;
  if (value === undefined && predictedClass === "") return null;
  const answer = create(PredictionSchema, { predictedClass, classProbabilities, predictionSet });
  if (value !== undefined) answer.value = value;
  if (interval !== undefined) answer.interval = interval;
  return toBinary(PredictionSchema, answer);
}

export const decodeAnswer = (bytes: Uint8Array): StoredAnswer => fromBinary(PredictionSchema, bytes);

type Scored = Pick<
  Outcome,
  "value" | "interval" | "predictedClass" | "labelProbability" | "previousLabelProbability" | "inSet"
>;

/**
 * What an outcome tells of an answer beside the probability.
 *
 * @param classes the app's
 * @param label an index of the classes, or a number
 */
export function scoreAnswer(
  { value, interval, predictedClass, classProbabilities, predictionSet }: StoredAnswer,
  classes: readonly string[],
  label: number,
  previousLabel: number | null,
): Partial<Scored> {
  if (value !== undefined) return { value, ...(interval === undefined ? {} : { interval }) };
  const predicted = classes.indexOf(predictedClass);
  const labelProbability = classProbabilities[label];
  const before = previousLabel === null ? undefined : classProbabilities[previousLabel];
  return {
    ...(predicted < 0 ? {} : { predictedClass: predicted }),
    ...(labelProbability === undefined ? {} : { labelProbability }),
    ...(before === undefined ? {} : { previousLabelProbability: before }),
    ...(predictionSet.length === 0 ? {} : { inSet: predictionSet.includes(classes[label] ?? "") }),
  };
}
