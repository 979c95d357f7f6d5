import { rowsByProbability } from "./binaryMetrics.ts";
import type { Blocks } from "./bootstrap.ts";

/** A measure of rows of which each stretch counts so many times. */
export type DrawnMeasure = (times: Uint16Array) => number;

/**
 * A measure that follows from sums over the rows: sums are taken once for each stretch, and a sample costs as much as there are stretches.
 *
 * @param add adds a row's terms to its stretch's sums
 * @param valueOf the measure, from the sums and the number of rows
 */
export function measureBySums(
  { count, blockOf }: Blocks,
  terms: number,
  add: (row: number, sums: Float64Array) => void,
  valueOf: (sums: Float64Array, rows: number) => number,
): DrawnMeasure {
  const ofBlock = Array.from({ length: count }, () => new Float64Array(terms));
  const rowsOfBlock = new Float64Array(count);
  for (let row = 0; row < blockOf.length; row += 1) {
    const block = blockOf[row] as number;
    add(row, ofBlock[block] as Float64Array);
    rowsOfBlock[block] = (rowsOfBlock[block] as number) + 1;
  }
  return (times) => {
    const sums = new Float64Array(terms);
    let rows = 0;
    for (let block = 0; block < count; block += 1) {
      const weight = times[block] as number;
      if (weight === 0) continue;
      rows += weight * (rowsOfBlock[block] as number);
      const own = ofBlock[block] as Float64Array;
      for (let term = 0; term < terms; term += 1) sums[term] = (sums[term] as number) + weight * (own[term] as number);
    }
    return valueOf(sums, rows);
  };
}

/** Area under the ROC curve (see `areaUnderRoc`): rows are put in order once, and a sample is one pass over them. */
export function measureAreaUnderRoc({ blockOf }: Blocks, labels: Float64Array, scores: Float64Array): DrawnMeasure {
  const order = rowsByProbability(scores);
  const blocks = Uint16Array.from(order, (row) => blockOf[row] as number);
  const positive = Uint8Array.from(order, (row) => labels[row] as number);
  /** 1 where the row's score is that of the row before. */
  const tied = Uint8Array.from(order, (row, index) =>
    index > 0 && scores[row] === scores[order[index - 1] as number] ? 1 : 0,
  );
  return (times) => {
    let wins = 0;
    let negatives = 0;
    let positives = 0;
    let tiedNegatives = 0;
    let tiedPositives = 0;
    for (let index = 0; index < order.length; index += 1) {
      if (tied[index] === 0) {
        wins += tiedPositives * (negatives + tiedNegatives / 2);
        negatives += tiedNegatives;
        positives += tiedPositives;
        tiedNegatives = 0;
        tiedPositives = 0;
      }
      const weight = times[blocks[index] as number] as number;
      if (positive[index] === 1) tiedPositives += weight;
      else tiedNegatives += weight;
    }
    wins += tiedPositives * (negatives + tiedNegatives / 2);
    return wins / ((positives + tiedPositives) * (negatives + tiedNegatives));
  };
}
