import { randomNumbers, shuffled } from "@millrace/metrics";
import type { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { LoadedArtefact } from "../evaluate.ts";
import type { Matrix } from "../matrix.ts";
import { quickMetrics } from "./estimates.ts";
import type { AnsweredRows } from "./measures.ts";
import { advantage } from "./metrics.ts";

/** Rows times features times features that are calculated at most: about ten seconds for a thousand features. */
const MAX_CELLS = 100_000_000;
const MAX_ROWS = 5_000;
const MIN_ROWS = 200;

/**
 * Permutation importance (Breiman, 2001; Fisher, Rudin and Dominici, 2019): by how much the app's metric gets worse when a feature's
 * values are shuffled among the rows, one feature after the other; of up to 5,000 evenly chosen rows of the holdout.
 *
 * @param rows with the artefact's columns
 */
export async function permutationImportance(
  artefact: LoadedArtefact,
  rows: Matrix,
  { task, policy, coverage }: Omit<AnsweredRows, "answers" | "labels">,
  metric: Metric,
  seed: number,
): Promise<Float64Array> {
  const features = rows.columns.length;
  const wanted = Math.max(MIN_ROWS, Math.min(MAX_ROWS, Math.floor(MAX_CELLS / (features * features))));
  const count = Math.min(wanted, rows.labels.length);
  const pick = (of: Float64Array): Float64Array =>
    Float64Array.from({ length: count }, (_, index) => of[Math.floor((index * of.length) / count)] as number);
  const columns = rows.columns.map(pick);
  const labels = pick(rows.labels);
  const metricsWith = async (tried: readonly Float64Array[]) =>
    quickMetrics({ task, policy, coverage, labels, answers: await artefact.answers(tried, task) });
  const asTheyAre = await metricsWith(columns);
  const random = randomNumbers(seed);
  const importance = new Float64Array(features);
  for (const [feature, column] of columns.entries()) {
    const order = shuffled(count, random);
    // Equal values everywhere cannot be shuffled into anything else.
    if (column.every((value) => Object.is(value, column[0]))) continue;
    const tried = columns.with(
      feature,
      column.map((_, row) => column[order[row] as number] as number),
    );
    importance[feature] = advantage(metric, asTheyAre, await metricsWith(tried));
  }
  return importance;
}
