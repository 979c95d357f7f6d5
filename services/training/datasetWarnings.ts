import { MillraceError } from "@millrace/runtime";
import type { BuiltDataset, DatasetClient } from "./dataset.ts";
import type { Dataset } from "./parquet.ts";

/** A dataset in which more rows than this are there twice says nothing about how good a model is: the holdout has rows that were trained on. */
const MAX_REPEATED_SHARE = 0.5;
const TOLD_SHARE = 0.01;

/** What somebody should know about a dataset before trusting a model of it, one sentence each. */
export async function datasetWarnings(
  datasets: DatasetClient,
  { manifest, rows }: BuiltDataset,
  signal: AbortSignal,
): Promise<string[]> {
  const findings = await datasets.findings(manifest.contentHash, signal);
  return [...findings, ...repeatedRows(rows), ...equalColumns(rows)];
}

/** @throws `failed_precondition` when most rows are there twice */
export function checkRepeatedRows(rows: Dataset): void {
  const share = repeatedShare(rows);
  if (share <= MAX_REPEATED_SHARE) return;
  const times = `${Math.round(share * 100)} % of the ${rows.labels.length} rows are there before, with the same time, features and label`;
  throw new MillraceError(
    "failed_precondition",
    `${times}: a model would be judged by rows that it was trained on. Is the prediction event sent twice with another id, or history loaded twice?`,
  );
}

function repeatedRows(rows: Dataset): string[] {
  const share = repeatedShare(rows);
  if (share <= TOLD_SHARE) return [];
  return [`${(share * 100).toFixed(1)} % of the rows are there before, with the same time, features and label.`];
}

/** Of the rows, those that equal an earlier one in everything. */
function repeatedShare({ occurredAtMs, columns, labels }: Dataset): number {
  const rowsByTime = new Map<number, number[]>();
  let repeated = 0;
  const isSame = (row: number, other: number): boolean =>
    Object.is(labels[row], labels[other]) && columns.every((column) => Object.is(column[row], column[other]));
  for (let row = 0; row < labels.length; row += 1) {
    const time = occurredAtMs[row] as number;
    const before = rowsByTime.get(time);
    if (before === undefined) rowsByTime.set(time, [row]);
    else if (before.some((other) => isSame(row, other))) repeated += 1;
    else before.push(row);
  }
  return repeated / Math.max(1, labels.length);
}

/** Pairs of columns that are the same: one of them is a mistake. */
function equalColumns({ featureNames, columns }: Dataset): string[] {
  const sentences: string[] = [];
  for (const [index, column] of columns.entries()) {
    const earlier = columns.findIndex(
      (other, place) => place < index && other.every((value, row) => Object.is(value, column[row])),
    );
    if (earlier === -1 || column.every(Number.isNaN)) continue;
    sentences.push(
      `The features ${featureNames[earlier]} and ${featureNames[index]} are the same in every row: leave one out.`,
    );
  }
  return sentences;
}
