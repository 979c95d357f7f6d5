import { createHash } from "node:crypto";
import { durationToMs } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ReviewReason } from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import type { PredictionRow } from "./predictionRow.ts";

const DAY_MS = 86_400_000;

/** Which predictions of an app people are asked about. */
export interface ReviewRules {
  /** Uncertain probabilities: from `from` up to, but without, `to`. */
  readonly from: number;
  readonly to: number;
  /** Of the uncertain ones, 0 to 1. */
  readonly share: number;
  /** Most of a day of event time. */
  readonly perDay: number;
  readonly expiresMs: number;
}

/** The rules of an app; undefined when it asks nobody. */
export function reviewRules({ label, serving }: App): ReviewRules | undefined {
  const review = label?.review;
  if (label === undefined || review === undefined) return undefined;
  return {
    from: review.from ?? serving?.abstain?.from ?? 0,
    to: review.to ?? serving?.abstain?.to ?? 1,
    share: review.share ?? 1,
    perDay: review.perDay,
    expiresMs: durationToMs(review.expires ?? label.wait) ?? DAY_MS,
  };
}

/** A prediction that may be offered to people, if the day has room. */
export interface ReviewOffer {
  readonly predictionId: string;
  readonly joinKey: string;
  readonly reason: ReviewReason;
  readonly priority: number;
  readonly predictedAtMs: number;
  /** Day of the prediction, counted from 1970. */
  readonly day: number;
  readonly expiresAtMs: number;
}

/** The predictions of which the model is uncertain, as far as the app wants to know about them. */
export function uncertainOnes(rules: ReviewRules, rows: readonly PredictionRow[]): ReviewOffer[] {
  const { from, to, share } = rules;
  const middle = (from + to) / 2;
  return rows
    .filter(({ id, probability }) => probability >= from && probability < to && placeOf(id) < share)
    .map((row) => offer(rules, row, ReviewReason.UNCERTAIN, 1 - Math.abs(row.probability - middle) / (to - middle)));
}

/** @param row a prediction about which labels contradict each other */
export const disputedOne = (
  rules: ReviewRules,
  row: Pick<PredictionRow, "id" | "joinKey" | "predictedAtMs">,
): ReviewOffer => offer(rules, row, ReviewReason.DISPUTED, 2);

function offer(
  { expiresMs }: ReviewRules,
  { id, joinKey, predictedAtMs }: Pick<PredictionRow, "id" | "joinKey" | "predictedAtMs">,
  reason: ReviewReason,
  priority: number,
): ReviewOffer {
  return {
    predictionId: id,
    joinKey,
    reason,
    priority,
    predictedAtMs,
    day: Math.floor(predictedAtMs / DAY_MS),
    expiresAtMs: predictedAtMs + expiresMs,
  };
}

/** Where in 0 to 1 a prediction stands: the same whenever it is asked, so that what is delivered again meets the same fate. */
const placeOf = (id: string): number => createHash("sha256").update(`review ${id}`).digest().readUInt32BE(0) / 2 ** 32;
