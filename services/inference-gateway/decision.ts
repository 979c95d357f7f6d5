import { create } from "@bufbuild/protobuf";
import { DEFAULT_ABSTENTION, decisionBands, NUMBERS, PROBABILITIES } from "@millrace/app";
import { type Serving, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type DecisionBand, DecisionBandSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { Answer } from "./answer.ts";

/** What the app's policy makes of an answer. */
export interface Decided {
  /** "" when the policy names none. */
  readonly decision: string;
  readonly band: DecisionBand | undefined;
}

/** Decides for an answer of the app's task. */
export type Decide = (answer: Answer) => Decided;

type Policy = Pick<Serving, "decisions" | "abstain">;

const UNDECIDED: Decided = { decision: "", band: undefined };

/** Compiles an app's policy. */
export function compileDecisions(policy: Policy, task: Task = Task.BINARY, classes: readonly string[] = []): Decide {
  if (task === Task.MULTICLASS) return byClass(policy, classes);
  const fromTheTop = decisionBands(policy, task === Task.REGRESSION ? NUMBERS : PROBABILITIES)
    .toReversed()
    .map(({ decision, lower, upper, abstain }) => ({
      lower,
      decided: decision === "" ? UNDECIDED : { decision, band: create(DecisionBandSchema, { lower, upper, abstain }) },
    }));
  return (answer) => {
    const number = typeof answer === "number" ? answer : "value" in answer ? answer.value : Number.NaN;
    return fromTheTop.find(({ lower }) => number >= lower)?.decided ?? UNDECIDED;
  };
}

/** The predicted class, or an abstention where it is not probable enough. */
function byClass({ abstain }: Policy, classes: readonly string[]): Decide {
  const to = abstain?.to ?? 0;
  const limited = (lower: number, upper: number, abstains: boolean): DecisionBand | undefined =>
    abstain === undefined ? undefined : create(DecisionBandSchema, { lower, upper, abstain: abstains });
  const abstention = { decision: abstain?.decision || DEFAULT_ABSTENTION, band: limited(0, to, true) };
  const decided = classes.map((decision) => ({ decision, band: limited(to, 1, false) }));
  return (answer) => {
    if (typeof answer === "number" || "value" in answer) return UNDECIDED;
    const { predicted, probabilities } = answer;
    return (probabilities[predicted] ?? 0) < to ? abstention : (decided[predicted] ?? UNDECIDED);
  };
}
