import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decode } from "@millrace/bus";
import { type Outcome, OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { MadeBy, type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { TrialAnswer } from "./trialEvidence.ts";
import { rolesOf, type TrialRow } from "./trialRow.ts";

/** The predictions of a message of PREDICTIONS. */
export const predictionsOf = (data: Uint8Array): Prediction[] => decode(PredictionsSchema, data).predictions;

/** The outcomes of a message of OUTCOMES. */
export const outcomesOf = (data: Uint8Array): Outcome[] => decode(OutcomesSchema, data).outcomes;

/** What a prediction says about a trial: the shadow's answers and those that they are compared with, the canary's, and its failures. */
export function answerOfPrediction(trial: TrialRow, prediction: Prediction): TrialAnswer | undefined {
  const { id, requestId, modelVersion: version, madeBy, probability, occurredAt, reason } = prediction;
  const roles = rolesOf(trial);
  const challenger = `${trial.app}/${roles.beside}`;
  const byChampion = madeBy === MadeBy.CHAMPION && version === `${trial.app}/${roles.champion}`;
  // The champion is asked first, unless a canary was, and did not answer: that is the reason then.
  const failed = trial.stage === "canary" && byChampion && reason !== "";
  const wanted =
    trial.stage === "shadow" || trial.stage === "probation"
      ? byChampion || (madeBy === MadeBy.SHADOW && version === challenger)
      : failed || (madeBy === MadeBy.CANARY && version === challenger);
  if (!wanted) return undefined;
  return {
    id,
    requestId,
    version,
    madeBy,
    failed,
    probability,
    predictedAtMs: occurredAt === undefined ? 0 : timestampMs(occurredAt),
  };
}

/** What an outcome says about a trial: the truth of the champion's answers and of the canary's. */
export function answerOfOutcome(trial: TrialRow, outcome: Outcome): TrialAnswer | undefined {
  const { predictionId: id, modelVersion: version, madeBy, probability, predictedAt, label } = outcome;
  const byChampion = madeBy === MadeBy.CHAMPION && version === `${trial.app}/${rolesOf(trial).champion}`;
  const byCanary = madeBy === MadeBy.CANARY && version === `${trial.app}/${trial.number}`;
  if (!byChampion && !byCanary) return undefined;
  const predictedAtMs = predictedAt === undefined ? 0 : timestampMs(predictedAt);
  return { id, version, madeBy, failed: false, probability, predictedAtMs, label };
}
