import type { Decision } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** Names the decision for a probability. */
export type Decide = (probability: number) => string;

/** An app's policy: the decision with the highest threshold that the probability reaches; "" when there is none. */
export function compileDecisions(decisions: readonly Decision[]): Decide {
  const descending = [...decisions].sort((a, b) => b.atLeast - a.atLeast);
  return (probability) => {
    for (const { name, atLeast } of descending) if (probability >= atLeast) return name;
    return "";
  };
}
