import { type Finding, FindingKind } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { percent, warning } from "./finding.ts";

const MOSTLY = 0.5;

/** Columns that carry nothing, or hardly anything. */
export function judgeColumns({ columns, features, rows }: DatasetManifest): Finding[] {
  const names = new Set(features.map(({ name }) => name));
  return columns.flatMap(({ name: column, missing, constant, min }) => {
    if (!names.has(column) || rows === 0n) return [];
    const findings: Finding[] = [];
    const share = Number(missing) / Number(rows);
    if (share === 1) {
      const what = `${column} is missing in every row.`;
      const advice =
        "Does an event of the type in `on` carry the entity's key and the fields of its expression? Does its window reach far enough?";
      findings.push(warning(FindingKind.MOSTLY_MISSING, { column, what, advice }));
    } else if (constant) {
      const what = `${column} is ${min} in every row.`;
      const advice = "It teaches nothing. Check its expression, or take it out.";
      findings.push(warning(FindingKind.CONSTANT_COLUMN, { column, what, advice }));
    } else if (share >= MOSTLY) {
      const what = `${column} is missing in ${percent(share)} of the rows.`;
      const advice =
        "A longer window, or a coarser entity, would have it more often. If the beginning of the history is to blame, take a later --from.";
      findings.push(warning(FindingKind.MOSTLY_MISSING, { column, what, advice }));
    }
    return findings;
  });
}
