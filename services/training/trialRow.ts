import { fromBinary } from "@bufbuild/protobuf";
import { PromotionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { QueryResultRow } from "pg";
import { type PromotionPolicy, promotionPolicy, type Stage } from "./promotionPolicy.ts";

/** A version on its way to champion, or a champion on probation, as the table `trials` keeps it. */
export interface TrialRow extends QueryResultRow {
  readonly app: string;
  readonly number: number;
  /** The champion that it is compared with; in a probation the one before, which is the shadow then. */
  readonly champion: number;
  /** `queued`: it waits for the end of another's trial. */
  readonly stage: Stage | "queued";
  /** The app's `Promotion` of the time when it began: a change of the app file is for those that come after. */
  readonly policy: Uint8Array;
  readonly since: Date;
  /** How often the stage's evidence was looked at. */
  readonly looks: number;
  /** For a person's word. */
  readonly waiting: boolean;
  readonly evidence: string[];
}

export type NewTrial = Pick<TrialRow, "app" | "number" | "champion" | "stage" | "policy" | "waiting"> & {
  /** Event time. */
  readonly sinceMs: number;
};

export type Look = Pick<TrialRow, "looks" | "waiting" | "evidence">;

export const TRIAL_COLUMNS = "app, number, champion, stage, policy, since, looks, waiting, evidence";

export const policyOf = ({ policy }: Pick<TrialRow, "policy">): PromotionPolicy =>
  promotionPolicy(fromBinary(PromotionSchema, policy));

/** Who is asked beside whom, by number. */
export const rolesOf = ({ stage, number, champion }: Pick<TrialRow, "stage" | "number" | "champion">) =>
  stage === "probation" ? { beside: champion, champion: number } : { beside: number, champion };
