import { durationToMs } from "@millrace/app";
import { populationStability } from "@millrace/metrics";
import { type Finding, FindingKind } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import type { LabelStatistics } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { SMALL_PSI } from "./distributionDistance.ts";
import { count, note, percent, span, stop, warning } from "./finding.ts";
import { findGaps } from "./labelGaps.ts";

/** Training parts the rows into four, and refuses a part of fewer than 20. */
const FEWEST_LABELLED = 200;
/** With 50 positives an area under the ROC curve is known to about 0.04. */
const FEWEST_OF_A_CLASS = 50;
const RARE_SHARE = 0.01;
/** Of the rows whose wait is over. */
const USUAL_LABELLED_SHARE = 0.9;
const SHOWN_GAPS = 3;
/** Of label events. A conflict says that one of the two is wrong; a duplicate, that somebody sends everything twice. */
const SOME_CONFLICTS = 0.001;
const MANY_CONFLICTS = 0.1;
const SOME_DUPLICATES = 0.01;
const SOME_UNMATCHED = 0.05;
const SOME_REPEATED = 0.001;
/** Labels that come this close to the end of the wait are the visible part of those that come after it. */
const WAIT_NEARLY_USED = 0.9;
const WAIT_HARDLY_USED = 0.05;

/** What is to be known about a dataset's labels before anything is trained on them. */
export function judgeLabels(manifest: DatasetManifest): Finding[] {
  const { labels } = manifest;
  if (labels === undefined) return [];
  return [
    ...judgeAmount(manifest, labels),
    ...judgeCoverage(labels),
    ...judgeBalance(manifest),
    ...judgeEvents(labels),
    ...judgeRows(manifest, labels),
    ...judgeDelay(manifest, labels),
  ];
}

function judgeAmount({ labelledRows, split, rows }: DatasetManifest, { positiveRows }: LabelStatistics): Finding[] {
  const labelled = Number(labelledRows);
  const positive = Number(positiveRows);
  if (labelled < FEWEST_LABELLED) {
    const what = `Only ${count(labelled, "row")} of ${rows.toLocaleString("en-US")} ${labelled === 1 ? "is" : "are"} labelled.`;
    const advice = `Training needs ${FEWEST_LABELLED} at least: wait for more labels, or take a longer range (--from).`;
    return [stop(FindingKind.TOO_FEW_ROWS, { what, advice })];
  }
  if (positive === 0 || positive === labelled) {
    const what = `All ${count(labelled, "label")} are ${positive === 0 ? 0 : 1}.`;
    return [
      stop(FindingKind.ONE_CLASS, {
        what,
        advice: "A model needs both. Is label.value in the app file what you mean?",
      }),
    ];
  }
  const findings: Finding[] = [];
  const rarer = Math.min(positive, labelled - positive);
  if (rarer / labelled < RARE_SHARE) {
    const what = `Only ${percent(rarer / labelled)} of the labels (${count(rarer, "row")}) are ${rarer === positive ? 1 : 0}.`;
    const advice =
      "Accuracy says nothing here; judge by log loss, and take a range long enough for hundreds of the rare ones.";
    findings.push(warning(FindingKind.RARE_CLASS, { what, advice }));
  }
  const held = split === undefined ? 0 : Number(split.holdoutRows);
  const heldRarer =
    split === undefined ? 0 : Math.min(Number(split.holdoutPositive), held - Number(split.holdoutPositive));
  if (heldRarer < FEWEST_OF_A_CLASS) {
    const what = `The holdout, by which models are judged, has ${count(heldRarer, "row")} of the rarer label.`;
    const advice = `Figures of fewer than ${FEWEST_OF_A_CLASS} are mostly chance: take a longer range, or a larger model.holdout.`;
    findings.push(warning(FindingKind.TOO_FEW_ROWS, { what, advice }));
  }
  return findings;
}

function judgeCoverage(labels: LabelStatistics): Finding[] {
  const never = Number(labels.neverLabelledRows) / Number(labels.matureRows);
  const findings: Finding[] = [];
  if (never > 1 - USUAL_LABELLED_SHARE) {
    const what = `${percent(never)} of the rows whose wait is over never got a label (${count(labels.neverLabelledRows, "row")}).`;
    const advice =
      "A model learns only from the labelled ones. Find out which kind of row loses its truth: if it is not by chance, the model will be wrong about just those.";
    findings.push(warning(FindingKind.FEW_LABELS, { what, advice }));
  }
  const { usual, gaps } = findGaps(labels);
  if (gaps.length > 0) {
    const shown = gaps.slice(0, SHOWN_GAPS).map(({ fromMs, toMs, rows, labelled }) => {
      return `${minute(fromMs)} to ${minute(toMs)} (${percent(labelled / rows)} of ${count(rows, "row")})`;
    });
    const more = gaps.length > SHOWN_GAPS ? `, and ${gaps.length - SHOWN_GAPS} times more` : "";
    const what = `Labels are mostly missing from ${shown.join(", ")}${more}; ${percent(usual)} is usual.`;
    const advice = "Label events were lost there. Replay them, or leave that time out (--from, --to).";
    findings.push(warning(FindingKind.LABEL_GAP, { what, advice }));
  }
  return findings;
}

function judgeBalance({ split }: DatasetManifest): Finding[] {
  if (split === undefined || split.trainRows === 0n || split.holdoutRows === 0n) return [];
  const [train, holdout] = [Number(split.trainRows), Number(split.holdoutRows)];
  const before = Number(split.trainPositive) / train;
  const after = Number(split.holdoutPositive) / holdout;
  const stability = populationStability(Float64Array.of(1 - after, after), [1 - before, before]);
  const deviation = Math.sqrt(before * (1 - before) * (1 / train + 1 / holdout));
  if (stability < SMALL_PSI || Math.abs(after - before) < 3 * deviation) return [];
  const what = `${percent(before)} of the labels are positive before the holdout, ${percent(after)} in it (PSI ${stability.toFixed(2)}).`;
  const advice =
    "The model will be judged on another world than it learned from. Has label.value changed its meaning, is it the season, or is some kind of row missing from one side?";
  return [warning(FindingKind.LABEL_BALANCE_MOVES, { what, advice })];
}

function judgeEvents({ events, duplicates, conflicts, due, unmatched }: LabelStatistics): Finding[] {
  const findings: Finding[] = [];
  const all = Number(events);
  const conflicting = Number(conflicts) / all;
  if (conflicting >= SOME_CONFLICTS) {
    const what = `${count(conflicts, "label event")} (${percent(conflicting)}) contradict an earlier one of the same key.`;
    const advice =
      "The one known last counts. If they are corrections, all is well; if not, find out which of the two is the truth, and send only that.";
    findings.push((conflicting >= MANY_CONFLICTS ? stop : warning)(FindingKind.CONFLICTING_LABELS, { what, advice }));
  }
  const repeated = Number(duplicates) / all;
  if (repeated >= SOME_DUPLICATES) {
    const what = `${count(duplicates, "label event")} (${percent(repeated)}) say again what an earlier one of the same key said, under another event id.`;
    const advice =
      "The labels are right, but features over these events count them twice. Give an event the same id when it is sent again.";
    findings.push(warning(FindingKind.DUPLICATE_LABELS, { what, advice }));
  }
  const lost = Number(unmatched) / Number(due);
  if (lost >= SOME_UNMATCHED) {
    const what = `${count(unmatched, "label")} (${percent(lost)} of those that fell due) found no row: later than label.wait, or no prediction event has their key.`;
    const advice =
      "Compare the values of label.join on both sides (case, prefixes, spaces), then the wait with how late labels come.";
    findings.push(warning(FindingKind.UNMATCHED_LABELS, { what, advice }));
  }
  return findings;
}

function judgeRows({ rows }: DatasetManifest, { repeatedKeys, repeatedRows }: LabelStatistics): Finding[] {
  const share = Number(repeatedKeys) / Number(rows || 1n);
  if (share < SOME_REPEATED) return [];
  const what = `${count(repeatedKeys, "row")} (${percent(share)}) have a key that another row has, ${repeatedRows.toLocaleString("en-US")} of them also its time.`;
  const advice =
    "The same case counts several times, and may be on both sides of the holdout, which flatters the model. Send the prediction event once, with the same id when it is sent again.";
  return [warning(FindingKind.REPEATED_ROWS, { what, advice })];
}

function judgeDelay({ label, labelledRows }: DatasetManifest, { delaySeconds }: LabelStatistics): Finding[] {
  const wait = (durationToMs(label?.wait) ?? 0) / 1_000;
  const slow = delaySeconds.find(({ share }) => share === 0.99)?.value;
  if (slow === undefined || wait === 0 || labelledRows < FEWEST_LABELLED) return [];
  if (slow >= WAIT_NEARLY_USED * wait) {
    const what = `One label in a hundred takes ${span(slow)} or more, and label.wait is ${span(wait)}.`;
    const advice =
      "Labels that take longer are cut off, and what takes long is often of one kind. Make label.wait longer.";
    return [warning(FindingKind.WAIT_TOO_SHORT, { what, advice })];
  }
  if (slow > WAIT_HARDLY_USED * wait) return [];
  const what = `99 % of the labels are known within ${span(slow)}, and label.wait is ${span(wait)}.`;
  const advice = "A shorter label.wait would tell sooner which rows will never be labelled.";
  return [note(FindingKind.WAIT_TOO_LONG, { what, advice })];
}

const minute = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
