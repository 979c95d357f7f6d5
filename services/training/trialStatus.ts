import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ModelState, type Trial, TrialSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { neededOf } from "./promotionPolicy.ts";
import type { TrainingStore } from "./store.ts";
import { policyOf } from "./trialRow.ts";
import { stateOf } from "./versionRow.ts";

/** How far the app's version on its way to champion, or its champion on probation, is, if there is one. */
export async function trialOf(store: TrainingStore, app: string): Promise<{ trial?: Trial }> {
  const known = await store.trial(app);
  if (known === undefined) return {};
  const { row, seen } = known;
  const { number, champion, stage, waiting, evidence, since } = row;
  const needed = stage === "queued" ? 0 : neededOf(policyOf(row), stage);
  return {
    trial: create(TrialSchema, {
      number,
      champion,
      stage: stage === "probation" ? ModelState.CHAMPION : stateOf(stage === "queued" ? "candidate" : stage),
      since: timestampFromMs(since.getTime()),
      seen: BigInt(seen),
      needed: BigInt(needed),
      waiting,
      evidence,
    }),
  };
}
