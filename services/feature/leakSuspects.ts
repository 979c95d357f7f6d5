import { type Finding, FindingKind } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { ColumnStatistics, DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { percent, stop, warning } from "./finding.ts";

/**
 * One honest column alone seldom ranks rows better than 0.9 (whole models of good problems do not), and never nearly perfectly: that is the label
 * in another dress.
 */
const SUSPICIOUS_AUC = 0.9;
const CERTAIN_AUC = 0.98;
/** Whether a value is there usually says little: half a ROC curve better than chance says a lot. */
const SUSPICIOUS_MISSING_AUC = 0.75;
const CERTAIN_MISSING_AUC = 0.95;
/** Values that are there for labelled rows and not for the others. */
const SUSPICIOUS_DIFFERENCE = 0.5;
const CERTAIN_DIFFERENCE = 0.9;
/** Fewer rows of a kind than this prove nothing. */
const FEWEST_ROWS = 50;

/** Columns that predict the label suspiciously well: probably they know it. */
export function suspectLeaks(manifest: DatasetManifest): Finding[] {
  const labelled = Number(manifest.labelledRows);
  const positive = Number(manifest.labels?.positiveRows ?? 0n);
  const bothClasses = positive >= FEWEST_ROWS && labelled - positive >= FEWEST_ROWS;
  const unlabelled = Number(manifest.rows) - labelled;
  return manifest.columns.flatMap((column) => [
    ...(bothClasses ? judgeSignal(column) : []),
    ...(labelled >= FEWEST_ROWS && unlabelled >= FEWEST_ROWS ? judgeAbsence(column) : []),
  ]);
}

function judgeSignal({ name: column, labelSignal }: ColumnStatistics): Finding[] {
  if (labelSignal === undefined) return [];
  const { auc, missingAuc } = labelSignal;
  if (missingAuc >= SUSPICIOUS_MISSING_AUC) {
    const what = `Whether ${column} is missing alone ranks rows by their label with an AUC of ${missingAuc.toFixed(2)}.`;
    const advice = `Where is it filled in? When that happens after the outcome, it knows the label: take it from what is known at the prediction, or leave it out.`;
    const level = missingAuc >= CERTAIN_MISSING_AUC ? stop : warning;
    return [level(FindingKind.MISSING_TELLS_LABEL, { column, what, advice })];
  }
  if (!(auc >= SUSPICIOUS_AUC)) return [];
  const what = `${column} alone ranks rows by their label with an AUC of ${auc.toFixed(2)}; an honest column seldom reaches ${SUSPICIOUS_AUC.toFixed(1)}.`;
  const advice =
    "Is its value really known when the prediction is asked for, or written with the outcome? If so, it will not be there in life: take it out, or from an event that comes before.";
  return [(auc >= CERTAIN_AUC ? stop : warning)(FindingKind.LEAK_SUSPECT, { column, what, advice })];
}

function judgeAbsence({ name: column, labelSignal }: ColumnStatistics): Finding[] {
  if (labelSignal === undefined) return [];
  const { missingWhenLabelled, missingWhenUnlabelled } = labelSignal;
  const difference = missingWhenUnlabelled - missingWhenLabelled;
  if (!(difference >= SUSPICIOUS_DIFFERENCE)) return [];
  const what = `${column} is missing in ${percent(missingWhenUnlabelled)} of the rows without a label, and in ${percent(missingWhenLabelled)} of those with one.`;
  const advice =
    "It seems to become known together with the label. In life it would be missing: leave it out, or take it from an event that comes before.";
  return [
    (difference >= CERTAIN_DIFFERENCE ? stop : warning)(FindingKind.KNOWN_ONLY_WITH_LABEL, { column, what, advice }),
  ];
}
