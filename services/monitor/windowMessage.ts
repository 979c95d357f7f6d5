import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { populationStability } from "@millrace/metrics";
import { Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type DistancesSchema,
  type Window as WindowMessage,
  WindowSchema,
} from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { expectedLogLoss } from "./judgement.ts";
import {
  jensenShannon,
  kolmogorovSmirnov,
  kolmogorovSmirnovTail,
  twoSampleChiSquare,
  wasserstein,
} from "./statistics/binnedDistances.ts";
import type { WatchedSubject } from "./watchedModel.ts";
import type { SubjectCounts, Window } from "./window.ts";

/** Calculated from the sums as they are now, so that late outcomes are in. Without outcomes their figures are 0. */
export function windowMessage(window: Window, toMs: number, seasonMs: number): WindowMessage {
  const { key, truth, estimate, predictions, fallbacks, model } = window;
  const psi: Record<string, number> = {};
  const missing: Record<string, number> = {};
  const distances: Record<string, MessageInitShape<typeof DistancesSchema>> = {};
  model.subjects.forEach((subject, index) => {
    const { name, baseline } = subject;
    const counts = window.subject(index);
    const rows = counts.present + counts.missing;
    psi[name] = populationStability(counts.bins, baseline.usual(key.fromMs, seasonMs).shares);
    missing[name] = rows === 0 ? 0 : counts.missing / rows;
    if (counts.present > 0 && subject.edges.length > 0)
      distances[name] = distancesOf(subject, counts, key.fromMs, seasonMs, model.referenceRows);
  });
  return create(WindowSchema, {
    from: timestampFromMs(key.fromMs),
    to: timestampFromMs(toMs),
    modelVersion: key.version,
    predictions: BigInt(predictions),
    fallbackShare: predictions === 0 ? 0 : fallbacks / predictions,
    psi,
    missing,
    distances,
    ...truthOf(window, truth.count > 0),
    ...(estimate.count === 0
      ? {}
      : { estimatedLogLoss: estimate.logLoss, estimatedAuc: estimate.auc, estimatedAccuracy: estimate.accuracy }),
  });
}

function truthOf({ truth, model }: Window, judged: boolean) {
  if (!judged) return {};
  const outcomes = BigInt(Math.round(truth.count));
  if (model.task === Task.REGRESSION) return { outcomes, rmse: truth.rmse, mae: truth.mae };
  if (model.task === Task.MULTICLASS) return { outcomes, logLoss: truth.logLoss, accuracy: truth.accuracy };
  return {
    outcomes,
    logLoss: truth.logLoss,
    expectedLogLoss: expectedLogLoss(truth.expectedLogLoss, model.holdoutLogLoss),
    auc: truth.auc,
    calibrationError: truth.calibrationError,
    brier: truth.brier,
    rmse: truth.rmse,
    mae: truth.mae,
    confidentMistakes: truth.confidentMistakes,
  };
}

function distancesOf(
  subject: WatchedSubject,
  { bins, present, unseen }: SubjectCounts,
  fromMs: number,
  seasonMs: number,
  referenceRows: number,
): MessageInitShape<typeof DistancesSchema> {
  const { shares, missing, variation } = subject.baseline.usual(fromMs, seasonMs);
  const rows = referenceRows * (1 - missing);
  const reference = shares.map((share) => share * rows);
  const ks = kolmogorovSmirnov(bins, shares);
  const { standardDeviation } = subject;
  return {
    jensenShannon: jensenShannon(bins, shares),
    kolmogorovSmirnov: ks,
    kolmogorovSmirnovPValue: rows === 0 ? 1 : kolmogorovSmirnovTail(ks, present, rows),
    wasserstein: standardDeviation === 0 ? 0 : wasserstein(bins, shares, subject) / standardDeviation,
    chiSquarePValue: twoSampleChiSquare(bins, reference),
    ...(variation === undefined ? {} : { windowPValue: variation.shiftP(bins) }),
    unseen: unseen / present,
  };
}
