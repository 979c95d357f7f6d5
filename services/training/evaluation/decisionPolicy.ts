import { type DecisionBand, decisionBands } from "@millrace/app";
import type { Cost, Serving } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** What an app decides by a probability, and what that costs. */
export interface DecisionPolicy {
  /** Lowest first; none without decisions. */
  readonly bands: readonly DecisionBand[];
  /** Whether its decisions have costs. */
  readonly hasCosts: boolean;
  /** The index of a probability's band; -1 without bands. */
  bandOf(probability: number): number;
  /** Of a decision when the truth turned out so, 0 or 1; an abstention costs nothing. */
  costOf(band: number, label: number): number;
}

export function decisionPolicy(serving: Pick<Serving, "decisions" | "abstain"> | undefined): DecisionPolicy {
  const bands = serving === undefined ? [] : decisionBands(serving);
  const costs = new Map<string, Cost>();
  for (const { name, cost } of serving?.decisions ?? []) if (cost !== undefined) costs.set(name, cost);
  return {
    bands,
    hasCosts: costs.size > 0,
    bandOf: (probability) => bands.findLastIndex(({ lower }) => probability >= lower),
    costOf: (band, label) => {
      const cost = costs.get(bands[band]?.decision ?? "");
      return cost === undefined ? 0 : label === 1 ? cost.positive : cost.negative;
    },
  };
}
