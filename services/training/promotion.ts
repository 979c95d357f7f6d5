import { clone, create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Deployment,
  DeploymentSchema,
  ModelState,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";

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
 * @throws `failed_precondition` for a version that its gates rejected, or that serves already.
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
  const champion = inState(version, ModelState.CHAMPION);
  const before = current?.champion === undefined ? undefined : inState(current.champion, ModelState.RETIRED);
  return switchTo(champion, before, why);
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
  const { deployment, changed } = switchTo(inState(current.previous, ModelState.CHAMPION), undefined, why);
  return { deployment, changed: [bad, ...changed] };
}

function switchTo(champion: ModelVersion, previous: ModelVersion | undefined, why: SwitchReason): Switch {
  const since: Timestamp = timestampFromMs(why.sinceMs);
  const deployment = create(DeploymentSchema, { app: champion.app, champion, since, reason: why.reason });
  if (previous === undefined) return { deployment, changed: [champion] };
  deployment.previous = previous;
  // The old champion first: a table allows one champion at a time.
  return { deployment, changed: [previous, champion] };
}

export function inState(version: ModelVersion, state: ModelState): ModelVersion {
  const copy = clone(ModelVersionSchema, version);
  copy.state = state;
  return copy;
}

/** `<app>/<number>`. */
export const nameOf = ({ app, number }: Pick<ModelVersion, "app" | "number">): string => `${app}/${number}`;
