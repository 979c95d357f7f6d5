import type { Decision, Serving } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** What is decided alike: from `lower` on, up to but without `upper` (with it, where nothing is above). */
export interface DecisionBand {
  /** Empty where the policy names none. */
  readonly decision: string;
  readonly lower: number;
  readonly upper: number;
  readonly abstain: boolean;
}

export const DEFAULT_ABSTENTION = "abstain";

/** What a policy decides by can be from `lower` to `upper`. */
export interface DecisionRange {
  readonly lower: number;
  readonly upper: number;
}

export const PROBABILITIES: DecisionRange = { lower: 0, upper: 1 };
export const NUMBERS: DecisionRange = { lower: -Infinity, upper: Infinity };

/**
 * An app's policy as bands that cover a range, lowest first; none without decisions. Thresholds and costs come to the same: an expected
 * cost is a straight line over the probability, and the lowest of several lines is a sequence of stretches, one for each line at most.
 */
export function decisionBands(
  { decisions, abstain }: Pick<Serving, "decisions" | "abstain">,
  range = PROBABILITIES,
): readonly DecisionBand[] {
  const bands = decisions.some(({ cost }) => cost !== undefined) ? byCost(decisions) : byThreshold(decisions, range);
  if (abstain === undefined || bands.length === 0 || abstain.from >= abstain.to) return bands;
  const { from, to } = abstain;
  const below = bands
    .filter(({ lower }) => lower < from)
    .map((band) => ({ ...band, upper: Math.min(band.upper, from) }));
  const above = bands.filter(({ upper }) => upper > to).map((band) => ({ ...band, lower: Math.max(band.lower, to) }));
  const between = { decision: abstain.decision || DEFAULT_ABSTENTION, lower: from, upper: to, abstain: true };
  return [...below, between, ...above];
}

function byThreshold(decisions: readonly Decision[], range: DecisionRange): DecisionBand[] {
  if (decisions.length === 0) return [];
  const ascending = [...decisions].sort((a, b) => a.atLeast - b.atLeast);
  const lowest = (ascending[0] as Decision).atLeast;
  const none = lowest > range.lower ? [{ decision: "", lower: range.lower, upper: lowest, abstain: false }] : [];
  const named = ascending.map(({ name, atLeast }, index) => ({
    decision: name,
    lower: atLeast,
    upper: ascending[index + 1]?.atLeast ?? range.upper,
    abstain: false,
  }));
  return [...none, ...named];
}

interface Line {
  readonly decision: string;
  /** Cost at probability 0. */
  readonly start: number;
  readonly slope: number;
}

function byCost(decisions: readonly Decision[]): DecisionBand[] {
  const lines = decisions.map(({ name, cost }): Line => {
    const { positive = 0, negative = 0 } = cost ?? {};
    return { decision: name, start: negative, slope: positive - negative };
  });
  const bands: DecisionBand[] = [];
  let line = lines.reduce((best, other) => (cheaperAt(0, other, best) ? other : best));
  for (let lower = 0; ; ) {
    let next: { readonly line: Line; readonly at: number } | undefined;
    for (const other of lines) {
      if (other.slope >= line.slope) continue;
      // Not before here, which rounding might say.
      const at = Math.max(lower, (other.start - line.start) / (line.slope - other.slope));
      if (at < 1 && (next === undefined || at < next.at || (at === next.at && other.slope < next.line.slope))) {
        next = { line: other, at };
      }
    }
    bands.push({ decision: line.decision, lower, upper: next?.at ?? 1, abstain: false });
    if (next === undefined) return bands;
    lower = next.at;
    line = next.line;
  }
}

/** Of two that cost the same there, the one that costs less from there on. */
function cheaperAt(probability: number, one: Line, other: Line): boolean {
  const difference = one.start - other.start + (one.slope - other.slope) * probability;
  return difference < 0 || (difference === 0 && one.slope < other.slope);
}
