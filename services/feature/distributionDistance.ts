import { create } from "@bufbuild/protobuf";
import { populationStability } from "@millrace/metrics";
import { type ColumnDistance, ColumnDistanceSchema } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DistributionBins } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";

/** Tenths, the usual number for the population stability index. */
const GROUPS = 10;

/** By custom a PSI of 0.1 is a small shift and one of 0.25 a large one (Siddiqi, Credit Risk Scorecards, 2006, ch. 10). */
export const SMALL_PSI = 0.1;
export const LARGE_PSI = 0.25;
/** A tenth of all values lies elsewhere. */
const LARGE_KS = 0.1;
const LARGE_MISSING_DIFFERENCE = 0.05;

/** How sure it has to be that a difference is not chance: three standard deviations; for KS the level 0.01. */
const DEVIATIONS = 3;
const KS_LEVEL = 1.63;

/** One side of a comparison. */
export interface ColumnSketch {
  readonly bins: DistributionBins;
  readonly missingShare: number;
  readonly mean: number;
}

/** How far two distributions of one column are apart, by their bins. */
export function columnDistance(name: string, left: ColumnSketch, right: ColumnSketch): ColumnDistance {
  const leftRows = rowsOf(left.bins);
  const rightRows = rowsOf(right.bins);
  const both = leftRows > 0 && rightRows > 0;
  const { psi, groups } = both ? stability(left.bins, right.bins) : { psi: Number.NaN, groups: 1 };
  const ks = both ? kolmogorovSmirnov(left.bins, right.bins) : Number.NaN;
  const inverse = 1 / leftRows + 1 / rightRows;
  // PSI of two samples of one distribution is about chi-square over the rows (Yurdakul, 2018).
  const psiByChance = both ? (groups - 1 + DEVIATIONS * Math.sqrt(2 * (groups - 1))) * inverse : Number.NaN;
  const missing = Math.abs(left.missingShare - right.missingShare);
  return create(ColumnDistanceSchema, {
    name,
    psi,
    ks,
    psiByChance,
    leftMissingShare: left.missingShare,
    rightMissingShare: right.missingShare,
    leftMean: left.mean,
    rightMean: right.mean,
    differs:
      (psi >= SMALL_PSI && psi > psiByChance) ||
      (ks >= LARGE_KS && ks > KS_LEVEL * Math.sqrt(inverse)) ||
      missing >= LARGE_MISSING_DIFFERENCE,
  });
}

const rowsOf = ({ rows }: DistributionBins): number => rows.reduce((sum, ofBin) => sum + Number(ofBin), 0);

/** PSI over tenths of the left side. */
function stability(left: DistributionBins, right: DistributionBins): { psi: number; groups: number } {
  const total = rowsOf(left);
  const edges: number[] = [];
  const shares: number[] = [];
  let open = 0;
  for (const [bin, ofBin] of left.rows.entries()) {
    open += Number(ofBin);
    if (open < total / GROUPS && bin < left.rows.length - 1) continue;
    edges.push(left.high[bin] as number);
    shares.push(open / total);
    open = 0;
  }
  // The last group is open upwards.
  edges[edges.length - 1] = Infinity;
  // A constant is told from what is below it and above it.
  if (edges.length === 1) return againstConstant(left, right);
  let below = 0;
  const counts = Float64Array.from(edges, (edge) => {
    const upTo = shareAtMost(right, edge);
    const share = upTo - below;
    below = upTo;
    return share;
  });
  return { psi: populationStability(counts, shares), groups: edges.length };
}

function againstConstant({ low, high }: DistributionBins, right: DistributionBins): { psi: number; groups: number } {
  const below = shareBelow(right, low[0] as number);
  const upTo = shareAtMost(right, high.at(-1) as number);
  return { psi: populationStability(Float64Array.of(below, upTo - below, 1 - upTo), [0, 1, 0]), groups: 3 };
}

/** The largest difference between the two cumulative distributions, at the edges of all bins. */
function kolmogorovSmirnov(left: DistributionBins, right: DistributionBins): number {
  let largest = 0;
  for (const edge of [...left.high, ...right.high]) {
    largest = Math.max(largest, Math.abs(shareAtMost(left, edge) - shareAtMost(right, edge)));
  }
  for (const edge of [...left.low, ...right.low]) {
    largest = Math.max(largest, Math.abs(shareBelow(left, edge) - shareBelow(right, edge)));
  }
  return largest;
}

/** Share of the values that do not exceed `value`; within a bin they are taken to be spread evenly. */
const shareAtMost = (bins: DistributionBins, value: number): number => cumulative(bins, (high) => high <= value, value);

const shareBelow = (bins: DistributionBins, value: number): number => cumulative(bins, (high) => high < value, value);

function cumulative({ low, high, rows }: DistributionBins, isUnder: (high: number) => boolean, value: number): number {
  let total = 0;
  let under = 0;
  for (const [bin, ofBin] of rows.entries()) {
    const count = Number(ofBin);
    const from = low[bin] as number;
    const to = high[bin] as number;
    total += count;
    if (isUnder(to)) under += count;
    else if (value > from && Number.isFinite(to - from)) under += (count * (value - from)) / (to - from);
  }
  return under / total;
}
