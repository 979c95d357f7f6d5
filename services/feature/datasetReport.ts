import { create } from "@bufbuild/protobuf";
import {
  type DatasetReport,
  DatasetReportSchema,
  type Finding,
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
  const findings = [
    ...judgeLabels(manifest),
    ...suspectLeaks(manifest),
    ...judgeColumns(manifest),
    ...(live === undefined ? [] : judgeLive(live)),
  ].sort((left, right) => right.level - left.level);
  return create(DatasetReportSchema, { ...verdictOn(findings), findings, ...(live === undefined ? {} : { live }) });
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
