import {
  type ColumnDistance,
  type DatasetReport,
  type Finding,
  FindingLevel,
  type LiveComparison,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { alignedTable, wrapText } from "../../alignedTable.ts";
import { labelHistory } from "./labelHistory.ts";
import { sparkline } from "./sparkline.ts";
import { decimal, moment, percent, shortHash, span, whole } from "./wording.ts";

const WIDTH = 110;
const BARS = 60;

/** A dataset's report for a terminal, line by line. */
export function reportText(manifest: DatasetManifest, report: DatasetReport): string[] {
  return [
    `Dataset ${shortHash(manifest.contentHash)} of ${manifest.app}: is this data honest enough to train on?`,
    "",
    `  ${report.verdictText}`,
    "",
    ...report.findings.flatMap(findingLines),
    ...labelLines(manifest),
    "",
    ...historyLines(manifest),
    ...columnLines(manifest, report.live),
    ...liveLines(report.live),
  ];
}

/** How a finding of each level is headed. */
export const LEVEL_NAMES: Readonly<Record<FindingLevel, string>> = {
  [FindingLevel.UNSPECIFIED]: "?",
  [FindingLevel.NOTE]: "note",
  [FindingLevel.WARNING]: "LOOK",
  [FindingLevel.STOP]: "STOP",
};

function findingLines({ level, what, advice }: Finding): string[] {
  const indent = "        ";
  return [
    wrapText(`  ${LEVEL_NAMES[level]}  ${what}`, WIDTH, indent),
    wrapText(`        → ${advice}`, WIDTH, `${indent}  `),
    "",
  ];
}

function labelLines({ rows, labelledRows, labels, split, label, ...manifest }: DatasetManifest): string[] {
  if (labels === undefined) return [];
  const shares = `${percent(labels.pendingRows, rows)} may still get one, ${percent(labels.neverLabelledRows, rows)} never did`;
  const delay = (share: number): string => {
    const value = labels.delaySeconds.find((quantile) => quantile.share === share)?.value;
    return value === undefined ? "-" : span(value);
  };
  const wait = label?.wait === undefined ? "-" : span(Number(label.wait.seconds));
  const twice = `${whole(labels.duplicates)} repeated, ${whole(labels.conflicts)} contradicting, ${whole(labels.unmatched)} without a row`;
  const lines: [string, string][] = [
    [
      "rows",
      `${whole(rows)}, ${moment(manifest.firstRowAt)} to ${moment(manifest.lastRowAt)}; ${whole(labels.repeatedKeys)} with the key of another`,
    ],
    ["labelled", `${percent(labelledRows, rows)}; ${shares}`],
    ["positive", `${percent(labels.positiveRows, labelledRows)} of the labelled`],
    ["labels", `${whole(labels.events)} events: ${twice}`],
    [
      "delay",
      `half within ${delay(0.5)}, 95 % within ${delay(0.95)}, 99 % within ${delay(0.99)}; label.wait is ${wait}`,
    ],
  ];
  if (split !== undefined) {
    const before = `${percent(split.trainPositive, split.trainRows)} of ${whole(split.trainRows)} positive before`;
    const after = `${percent(split.holdoutPositive, split.holdoutRows)} of ${whole(split.holdoutRows)} in it`;
    lines.push(["holdout", `from ${moment(split.holdoutFrom)}; ${before}, ${after}`]);
  }
  return lines.map(([name, text]) => `${name.padEnd(10)} ${text}`);
}

function historyLines({ labels }: DatasetManifest): string[] {
  if (labels === undefined) return [];
  const { bars, lengthMs } = labelHistory(labels, BARS);
  if (bars.length < 2) return [];
  const rows = bars.map((bar) => bar.rows);
  const labelled = bars.map((bar) => bar.labelled / bar.rows);
  const positive = bars.map((bar) => bar.positive / bar.labelled);
  const present = positive.filter((share) => !Number.isNaN(share));
  const [low, high] = [Math.min(...present), Math.max(...present)];
  const mostRows = Math.max(...rows);
  const line = (name: string, bar: string, text: string): string => `  ${name.padEnd(10)} ${bar}  ${text}`;
  return [
    `Over time, one bar for ${span(lengthMs / 1_000)}:`,
    line("rows", sparkline(rows, 0, mostRows), `at most ${whole(mostRows)}`),
    line("labelled", sparkline(labelled, 0, 1), "of all rows"),
    ...(present.length === 0
      ? []
      : [line("positive", sparkline(positive, low, high), `${percent(low, 1)} to ${percent(high, 1)}`)]),
    "",
  ];
}

function columnLines({ columns, features, rows }: DatasetManifest, live: LiveComparison | undefined): string[] {
  const distances = new Map(live?.columns.map((column) => [column.name, column]));
  const right = (title: string) => ({ title, align: "right" }) as const;
  const titles = ["missing", "median", "1 %", "99 %", "AUC alone", ...(distances.size > 0 ? ["PSI live"] : [])];
  return alignedTable(
    [{ title: "column" }, { title: "distribution" }, ...titles.map(right)],
    columns
      .filter(({ name }) => features.some((feature) => feature.name === name))
      .map((column) => {
        const quantile = (share: number): string => decimal(column.quantiles.find((one) => one.share === share)?.value);
        return [
          column.name,
          shape(column.bins),
          percent(column.missing, rows),
          quantile(0.5),
          quantile(0.01),
          quantile(0.99),
          decimal(column.labelSignal?.auc === undefined ? undefined : Number(column.labelSignal.auc.toFixed(3))),
          ...(distances.size > 0 ? [psiText(distances.get(column.name))] : []),
        ];
      }),
  );
}

const SHAPE_BARS = 16;

function shape(bins: DatasetManifest["columns"][number]["bins"]): string {
  if (bins === undefined || bins.rows.length === 0) return "";
  const counts = histogram(bins, SHAPE_BARS);
  return sparkline(counts, 0, Math.max(...counts));
}

/** Rows in stretches of equal width between the 0.5 % at either end; the rows of a bin are taken to be spread evenly over it. */
export function histogram(
  { low, high, rows }: NonNullable<DatasetManifest["columns"][number]["bins"]>,
  bars: number,
): number[] {
  const total = rows.reduce((sum, count) => sum + Number(count), 0);
  const counts = Array.from({ length: bars }, () => 0);
  const [from, to] = middle({ low, high, rows }, total);
  const width = (to - from) / bars || 1;
  rows.forEach((count, bin) => {
    const [start, end] = [low[bin] as number, high[bin] as number];
    if (end < from || start > to) return;
    const first = Math.max(0, Math.min(bars - 1, Math.floor((start - from) / width)));
    const last = Math.max(0, Math.min(bars - 1, Math.floor((end - from) / width)));
    for (let bar = first; bar <= last; bar += 1)
      counts[bar] = (counts[bar] as number) + Number(count) / (last - first + 1);
  });
  return counts;
}

function middle(
  { low, high, rows }: { low: number[]; high: number[]; rows: bigint[] },
  total: number,
): [number, number] {
  let below = 0;
  let from = low[0] as number;
  let to = high.at(-1) as number;
  rows.forEach((count, bin) => {
    if (below < total * 0.005) from = low[bin] as number;
    below += Number(count);
    if (below - Number(count) < total * 0.995) to = high[bin] as number;
  });
  return [from, to];
}

const psiText = (distance: ColumnDistance | undefined): string =>
  distance === undefined || Number.isNaN(distance.psi) ? "-" : distance.psi.toFixed(3);

function liveLines(live: LiveComparison | undefined): string[] {
  if (live === undefined) return [];
  if (live.nothingBecause !== "") return ["", `Not compared with what was served: ${live.nothingBecause}.`];
  return [
    "",
    `PSI live compares with ${whole(live.predictions)} predictions of ${moment(live.from)} to ${moment(live.to)}.`,
  ];
}
