import { create } from "@bufbuild/protobuf";
import { decisionBands } from "@millrace/app";
import type { Serving } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type DecisionBand, DecisionBandSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";

/** What the app's policy makes of a probability. */
export interface Decided {
  /** "" when the policy names none. */
  readonly decision: string;
  readonly band: DecisionBand | undefined;
}

/** Decides for a probability. */
export type Decide = (probability: number) => Decided;

const UNDECIDED: Decided = { decision: "", band: undefined };

/** Compiles an app's policy. */
export function compileDecisions(policy: Pick<Serving, "decisions" | "abstain">): Decide {
  const fromTheTop = decisionBands(policy)
    .toReversed()
    .map(({ decision, lower, upper, abstain }) => ({
      lower,
      decided: decision === "" ? UNDECIDED : { decision, band: create(DecisionBandSchema, { lower, upper, abstain }) },
    }));
  return (probability) => fromTheTop.find(({ lower }) => probability >= lower)?.decided ?? UNDECIDED;
}
