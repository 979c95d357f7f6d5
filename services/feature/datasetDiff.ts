import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import type { ColumnDistance } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import {
  type ColumnStatistics,
  type DatasetManifest,
  type DefinitionChange,
  DefinitionChangeSchema,
  type DiffDatasetsResponse,
  DiffDatasetsResponseSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { DistributionBinsSchema } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { type ColumnSketch, columnDistance } from "./distributionDistance.ts";

/** Shares of labelled or positive rows that differ by more than this are worth a remark. */
const SHARE_DIFFERENCE = 0.02;

/** What differs between two datasets, by their manifests. */
export function diffDatasets(left: DatasetManifest, right: DatasetManifest): DiffDatasetsResponse {
  const definitions = definitionChanges(left, right);
  const columns = left.columns.flatMap((column) => {
    const other = right.columns.find(({ name }) => name === column.name);
    if (other === undefined) return [];
    return [columnDistance(column.name, sketchOf(column, left), sketchOf(other, right))];
  });
  const remarks = [
    ...generalRemarks(left, right),
    ...definitions.map(definitionRemark),
    ...columns.filter(({ differs }) => differs).map((column) => columnRemark(column, definitions)),
  ];
  return create(DiffDatasetsResponseSchema, { left, right, definitions, columns, remarks });
}

/** A column of a dataset for a comparison of distributions. */
export function sketchOf({ bins, missing, mean }: ColumnStatistics, { rows }: DatasetManifest): ColumnSketch {
  return { bins: bins ?? create(DistributionBinsSchema), missingShare: Number(missing) / Number(rows || 1n), mean };
}

function definitionChanges(left: DatasetManifest, right: DatasetManifest): DefinitionChange[] {
  const before = new Map(left.features.map((feature) => [feature.name, feature]));
  const after = new Map(right.features.map((feature) => [feature.name, feature]));
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const changes = names
    .filter((name) => before.get(name)?.hash !== after.get(name)?.hash)
    .map((name) =>
      create(DefinitionChangeSchema, {
        name,
        leftText: before.get(name)?.text ?? "",
        rightText: after.get(name)?.text ?? "",
      }),
    );
  if (left.label?.hash === right.label?.hash) return changes;
  const [leftText, rightText] = [left.label?.text ?? "", right.label?.text ?? ""];
  return [...changes, create(DefinitionChangeSchema, { name: "label", leftText, rightText })];
}

function generalRemarks(left: DatasetManifest, right: DatasetManifest): string[] {
  const remarks: string[] = [];
  if (left.contentHash === right.contentHash) remarks.push("They are the same dataset.");
  if (left.app !== right.app) remarks.push(`They are of different apps: ${left.app} and ${right.app}.`);
  const overlap = overlapOf(left, right);
  if (overlap !== undefined) remarks.push(overlap);
  for (const [what, share] of Object.entries(SHARES)) {
    const [before, after] = [share(left), share(right)];
    if (Math.abs(before - after) >= SHARE_DIFFERENCE) {
      remarks.push(`${what}: ${percent(before)} on the left, ${percent(after)} on the right.`);
    }
  }
  return remarks;
}

const SHARES: Readonly<Record<string, (manifest: DatasetManifest) => number>> = {
  "Rows with a label": ({ rows, labelledRows }) => Number(labelledRows) / Number(rows || 1n),
  "Labels that are positive": ({ labels, labelledRows }) =>
    Number(labels?.positiveRows ?? 0n) / Number(labelledRows || 1n),
};

function overlapOf(left: DatasetManifest, right: DatasetManifest): string | undefined {
  const [leftFrom, leftTo, rightFrom, rightTo] = [left.firstRowAt, left.lastRowAt, right.firstRowAt, right.lastRowAt];
  if (leftFrom === undefined || leftTo === undefined || rightFrom === undefined || rightTo === undefined)
    return undefined;
  if (time(leftTo) < time(rightFrom)) return "Every row on the left is older than those on the right.";
  if (time(rightTo) < time(leftFrom)) return "Every row on the right is older than those on the left.";
  return undefined;
}

function definitionRemark({ name, leftText, rightText }: DefinitionChange): string {
  if (leftText === "") return `${name} is only on the right.`;
  if (rightText === "") return `${name} is only on the left.`;
  return `${name} is defined differently, so its values cannot be compared.`;
}

function columnRemark(column: ColumnDistance, definitions: readonly DefinitionChange[]): string {
  const { name, psi, ks, leftMissingShare, rightMissingShare } = column;
  const because = definitions.some((change) => change.name === name) ? " (its definition is another)" : "";
  const missing = `missing ${percent(leftMissingShare)} and ${percent(rightMissingShare)}`;
  const moved = Number.isNaN(psi) ? "one side has no values" : `PSI ${psi.toFixed(2)}, KS ${ks.toFixed(2)}`;
  return `${name} is distributed differently${because}: ${moved}; ${missing}.`;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const time = (timestamp: Timestamp): number => timestampDate(timestamp).getTime();
