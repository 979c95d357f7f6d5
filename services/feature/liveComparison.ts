import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Finding,
  FindingKind,
  type LiveComparison,
  LiveComparisonSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { sketchOf } from "./datasetDiff.ts";
import { binsOf } from "./distribution.ts";
import { columnDistance, LARGE_PSI } from "./distributionDistance.ts";
import { note, percent, span, warning } from "./finding.ts";

/** Features that predictions were made from: one list per prediction, in the order of a dataset's features; NaN is missing. */
export interface ServedRows {
  readonly rows: readonly (readonly number[])[];
  readonly fromMs: number;
  readonly toMs: number;
  /** Why there are none, or empty. */
  readonly nothingBecause: string;
}

const FEWEST_ROWS = 100;
/** Within less, hours of the day alone make a difference. */
const WHOLE_DAY_SECONDS = 86_400;
const LARGE_MISSING_DIFFERENCE = 0.1;

/** A dataset's columns against what was served. */
export function compareWithServed(manifest: DatasetManifest, served: ServedRows): LiveComparison {
  if (served.rows.length < FEWEST_ROWS) {
    const few = `only ${served.rows.length} predictions with these features were found, and ${FEWEST_ROWS} are needed`;
    return create(LiveComparisonSchema, { nothingBecause: served.nothingBecause === "" ? few : served.nothingBecause });
  }
  const columns = manifest.features.map(({ name }, index) => {
    const column = manifest.columns.find((candidate) => candidate.name === name);
    const present = Float64Array.from(served.rows, (row) => row[index] as number).filter(
      (value) => !Number.isNaN(value),
    );
    const live = {
      bins: binsOf(present.sort()),
      missingShare: 1 - present.length / served.rows.length,
      mean: present.reduce((sum, value) => sum + value, 0) / present.length,
    };
    const stored =
      column === undefined
        ? { bins: binsOf(new Float64Array(0)), missingShare: 1, mean: Number.NaN }
        : sketchOf(column, manifest);
    return columnDistance(name, stored, live);
  });
  return create(LiveComparisonSchema, {
    predictions: BigInt(served.rows.length),
    from: timestampFromMs(Math.floor(served.fromMs)),
    to: timestampFromMs(Math.floor(served.toMs)),
    columns,
  });
}

/** What differs enough between training and serving to be told. */
export function judgeLive({ columns, from, to }: LiveComparison): Finding[] {
  const seconds = from === undefined || to === undefined ? 0 : Number(to.seconds - from.seconds);
  const short = seconds < WHOLE_DAY_SECONDS;
  const level = short ? note : warning;
  const because = short
    ? `The predictions are of ${span(seconds)} only, so the time of day may explain it; look again when there is a day of them.`
    : "The model would be asked about another world than it learned from. Is it the season (take a newer range), or is the feature computed from other data in life?";
  return columns.flatMap((distance) => {
    const { name: column, psi, psiByChance, leftMissingShare, rightMissingShare, leftMean, rightMean } = distance;
    const findings: Finding[] = [];
    if (psi >= LARGE_PSI && psi > psiByChance) {
      const what = `${column} is distributed differently in what was served lately: PSI ${psi.toFixed(2)}, mean ${leftMean.toPrecision(3)} here and ${rightMean.toPrecision(3)} there.`;
      findings.push(level(FindingKind.LIVE_DIFFERS, { column, what, advice: because }));
    }
    if (Math.abs(leftMissingShare - rightMissingShare) >= LARGE_MISSING_DIFFERENCE) {
      const what = `${column} is missing in ${percent(leftMissingShare)} of these rows, and in ${percent(rightMissingShare)} of the predictions served lately.`;
      const advice =
        "In life its events do not arrive, or not in time, or the requests lack its fields: the features' freshness and the requests' fields tell which.";
      findings.push(level(FindingKind.LIVE_MISSING_DIFFERS, { column, what, advice: short ? because : advice }));
    }
    return findings;
  });
}
