import { clone, create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CanarySchema,
  type Deployment,
  DeploymentSchema,
  ModelState,
  type ModelVersion,
  ModelVersionSchema,
  ShadowSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { policyOf, type TrialRow } from "./trialRow.ts";

/** A new deployment, and the versions whose state changes with it. */
export interface Switch {
  readonly deployment: Deployment;
  readonly changed: readonly ModelVersion[];
}

export interface SwitchReason {
  /** Event time, ms. */
  readonly sinceMs: number;
  readonly reason: string;
}

/**
 * Makes a version the champion; the one before retires and stays at hand as the fallback.
 *
 * @throws `failed_precondition` for a version that its gates rejected, that serves already, or whose file is gone
 */
export function promote(current: Deployment | undefined, version: ModelVersion, why: SwitchReason): Switch {
  if (version.state === ModelState.REJECTED) {
    throw new MillraceError(
      "failed_precondition",
      `${nameOf(version)} was rejected by its gates and cannot be promoted: ${version.verdict.join(" ")}`,
    );
  }
  if (current?.champion?.number === version.number) {
    throw new MillraceError("failed_precondition", `${nameOf(version)} is the champion already`);
  }
  if (version.state === ModelState.DELETED) {
    throw new MillraceError("failed_precondition", `${nameOf(version)} was deleted: its file is gone`);
  }
  const champion = inState(version, ModelState.CHAMPION);
  const before = current?.champion === undefined ? undefined : inState(current.champion, ModelState.RETIRED);
  return switchTo(current, champion, before, why);
}

/**
 * Makes the champion before this one the champion again. The one that was rolled back does not become the fallback.
 *
 * @throws `failed_precondition` when there is none before.
 */
export function rollBack(current: Deployment | undefined, app: string, why: SwitchReason): Switch {
  if (current?.champion === undefined || current.previous === undefined) {
    throw new MillraceError("failed_precondition", `${app} has no champion before this one to roll back to`);
  }
  const bad = inState(current.champion, ModelState.RETIRED);
  const { deployment, changed } = switchTo(current, inState(current.previous, ModelState.CHAMPION), undefined, why);
  return { deployment, changed: [bad, ...changed] };
}

/** A version on its way goes on beside the new champion, unless it is the new champion. */
function switchTo(
  current: Deployment | undefined,
  champion: ModelVersion,
  previous: ModelVersion | undefined,
  why: SwitchReason,
): Switch {
  const since: Timestamp = timestampFromMs(why.sinceMs);
  const deployment = create(DeploymentSchema, { app: champion.app, champion, since, reason: why.reason });
  const { shadow, canary } = current ?? {};
  if (shadow !== undefined && shadow.model?.number !== champion.number) deployment.shadow = shadow;
  if (canary !== undefined && canary.model?.number !== champion.number) deployment.canary = canary;
  if (previous === undefined) return { deployment, changed: [champion] };
  deployment.previous = previous;
  // The old champion first: a table allows one champion at a time.
  return { deployment, changed: [previous, champion] };
}

/** Who serves, with the version that is on its way as shadow or canary, by its stage, or the one before as shadow in a probation. */
export function withTrial(deployment: Deployment, trial: TrialRow, model: ModelVersion): Deployment {
  const { shadow, canary, probation } = policyOf(trial);
  const result = clone(DeploymentSchema, deployment);
  if (trial.stage === "shadow") result.shadow = create(ShadowSchema, { model, percent: shadow?.percent ?? 100 });
  if (trial.stage === "probation") result.shadow = create(ShadowSchema, { model, percent: probation?.percent ?? 100 });
  if (trial.stage === "canary") result.canary = create(CanarySchema, { model, percent: canary?.percent ?? 0 });
  return result;
}

export function inState(version: ModelVersion, state: ModelState): ModelVersion {
  const copy = clone(ModelVersionSchema, version);
  copy.state = state;
  return copy;
}

/** `<app>/<number>`. */
export const nameOf = ({ app, number }: Pick<ModelVersion, "app" | "number">): string => `${app}/${number}`;
