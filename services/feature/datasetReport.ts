import { create } from "@bufbuild/protobuf";
import {
  type DatasetReport,
  DatasetReportSchema,
  type Finding,
  FindingKind,
  FindingLevel,
  type LiveComparison,
  Verdict,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { judgeColumns } from "./columnQuality.ts";
import { judgeLabels } from "./labelQuality.ts";
import { suspectLeaks } from "./leakSuspects.ts";
import { judgeLive } from "./liveComparison.ts";

/** Is this data honest enough to train on? Everything that its manifest, and what was served lately, can say about it. */
export function reportOn(manifest: DatasetManifest, live?: LiveComparison): DatasetReport {
  const all = [
    ...judgeLabels(manifest),
    ...suspectLeaks(manifest),
    ...judgeColumns(manifest),
    ...(live === undefined ? [] : judgeLive(live)),
  ];
  const fitting = hasBinaryLabels(manifest) ? all : all.filter((finding) => !isOfBinaryLabels(finding));
  const findings = fitting.sort((left, right) => right.level - left.level);
  return create(DatasetReportSchema, { ...verdictOn(findings), findings, ...(live === undefined ? {} : { live }) });
}

/** They take a label above 0.5 for positive. */
const OF_BINARY_LABELS: ReadonlySet<FindingKind> = new Set([
  FindingKind.ONE_CLASS,
  FindingKind.RARE_CLASS,
  FindingKind.LABEL_BALANCE_MOVES,
  FindingKind.LEAK_SUSPECT,
  FindingKind.MISSING_TELLS_LABEL,
]);

/** Too few rows at all matter for any labels; too few of the rarer label are only warned of. */
const isOfBinaryLabels = ({ kind, level }: Finding): boolean =>
  OF_BINARY_LABELS.has(kind) || (kind === FindingKind.TOO_FEW_ROWS && level === FindingLevel.WARNING);

/** False where labels are numbers, or indexes of more than two classes. */
function hasBinaryLabels({ columns }: DatasetManifest): boolean {
  const label = columns.find(({ name }) => name === "label");
  return label === undefined || !(label.min < 0 || label.max > 1 || label.distinct > 2n);
}

function verdictOn(findings: readonly Finding[]): { verdict: Verdict; verdictText: string } {
  const number = (level: FindingLevel): number => findings.filter((finding) => finding.level === level).length;
  const stops = number(FindingLevel.STOP);
  if (stops > 0) {
    const what = stops === 1 ? "one thing would mislead the model" : `${stops} things would mislead the model`;
    return { verdict: Verdict.DO_NOT_TRAIN, verdictText: `Do not train on this: ${what}.` };
  }
  const warnings = number(FindingLevel.WARNING);
  if (warnings > 0) {
    const what = warnings === 1 ? "this one thing" : `these ${warnings} things`;
    return { verdict: Verdict.LOOK_FIRST, verdictText: `Look at ${what} before you trust a model of it.` };
  }
  return { verdict: Verdict.HONEST_ENOUGH, verdictText: "Honest enough to train on." };
}
