import { timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  Estimate,
  Evaluation,
  MetricEstimate,
  SegmentEvaluation,
} from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { ModelState, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { definitionOf } from "./metrics.ts";

/** More lines of a table than this are no page any more. */
const MAX_SEGMENTS = 8;
const MAX_FEATURES = 12;
const MAX_SLICES = 10;

const STATES: Readonly<Partial<Record<ModelState, string>>> = {
  [ModelState.CANDIDATE]: "candidate",
  [ModelState.REJECTED]: "rejected",
  [ModelState.CHAMPION]: "champion",
  [ModelState.RETIRED]: "retired",
};

/** A version on one page, as Markdown (model cards; Mitchell et al., 2019): what data, which features, how good, where bad, why accepted or not. */
export function modelCard(version: ModelVersion, evaluation: Evaluation): string {
  const sections = [
    [`# ${version.app}/${version.number}`, "", introduction(version)],
    ["## Data", "", ...dataTable(evaluation), "", ...evaluation.warnings.map((warning) => `- ${warning}`)],
    ["## How good", "", ...metricTable(evaluation), "", intervalNote(evaluation)],
    section("## Decisions", decisionTable(evaluation)),
    section("## Coverage over time", coverageTable(version, evaluation)),
    section("## Where it is bad", segmentTable(evaluation)),
    section("## What it depends on", featureTable(evaluation)),
    ["## Why", "", ...evaluation.gates.map(({ passed, sentence }) => `- ${passed ? "✔" : "✘"} ${sentence}`)],
    section("## Candidates", candidateTable(evaluation)),
    section("## Earlier times", foldTable(evaluation)),
  ];
  const text = sections.filter((lines) => lines.length > 0).map((lines) => lines.join("\n").trimEnd());
  return `${text.join("\n\n")}\n`;
}

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [title, "", ...lines];

function introduction(version: ModelVersion): string {
  const { algorithm, state, datasetHash, appVersion, artefact, evaluation } = version;
  const made = version.origin === undefined ? algorithm : `uploaded by ${version.origin.author}`;
  const upTo = version.asOf === undefined ? "" : `, on data up to ${moment(timestampMs(version.asOf))}`;
  return [
    `**${STATES[state] ?? "?"}** · ${made}${upTo}, for version ${appVersion} of the app.`,
    `Features: ${version.featureNames.join(", ")}.`,
    `Dataset \`${short(datasetHash)}\` · model file \`${short(artefact)}\` · evaluation \`${short(evaluation)}\`.`,
  ].join("\n");
}

function dataTable({ parts }: Evaluation): string[] {
  return table(
    ["rows", "used to", "from", "to"],
    parts.map(({ name, rows, from, to }) => [
      rows.toLocaleString("en-US"),
      PARTS[name] ?? name,
      from === undefined ? "" : moment(timestampMs(from)),
      to === undefined ? "" : moment(timestampMs(to)),
    ]),
  );
}

const PARTS: Readonly<Record<string, string>> = {
  train: "train",
  validation: "stop training, and search",
  calibration: "calibrate",
  holdout: "judge (nothing else sees them)",
};

function metricTable({ metrics, champion }: Evaluation): string[] {
  const withChampion = champion > 0;
  const header = [
    "metric",
    "value",
    "95 %",
    ...(withChampion ? [`champion ${champion}`, "better by", "at least"] : []),
  ];
  return table(
    header,
    metrics.map((metric) => metricLine(metric, withChampion)),
  );
}

function metricLine({ name, candidate, champion, advantage }: MetricEstimate, withChampion: boolean): string[] {
  const own = [titleOf(name), number(candidate?.value), range(candidate)];
  return withChampion ? [...own, number(champion?.value), number(advantage?.value), number(advantage?.lower)] : own;
}

function intervalNote({ bootstrapSamples, seed, performance }: Evaluation): string {
  const samples = `Intervals: ${bootstrapSamples} bootstrap samples of stretches of the holdout, seed ${seed}.`;
  if (performance === undefined) return samples;
  const { artefactBytes, rowMicroseconds, batchRows, singleMicroseconds } = performance;
  const speed = `${rowMicroseconds.toFixed(1)} µs a row in batches of ${batchRows}, ${singleMicroseconds.toFixed(0)} µs alone`;
  return `${samples} The model file has ${artefactBytes.toLocaleString("en-US")} bytes, and takes ${speed}.`;
}

function decisionTable({ decisions, classes }: Evaluation): string[] {
  if (decisions.length === 0) return [];
  const isBand = classes.length === 0;
  const hasCosts = decisions.some(({ cost }) => Number.isFinite(cost));
  const header = [isBand ? "decision" : "class", ...(isBand ? ["from"] : []), "rows", "precision", "recall", "F1"];
  return table(
    [...header, ...(hasCosts ? ["mean cost"] : [])],
    decisions.map((decision) => [
      decision.name || "none",
      ...(isBand ? [number(decision.from)] : []),
      decision.rows.toLocaleString("en-US"),
      number(decision.precision),
      number(decision.recall),
      number(decision.f1),
      ...(hasCosts ? [number(decision.cost)] : []),
    ]),
  );
}

function coverageTable({ coverage: stated }: ModelVersion, { coverage }: Evaluation): string[] {
  if (coverage.length === 0) return [];
  const every = Math.ceil(coverage.length / MAX_SLICES);
  const shown = coverage.filter((_, index) => index % every === 0);
  const rows = shown.map(({ from, rows: count, covered, size }) => [
    from === undefined ? "" : moment(timestampMs(from)),
    String(count),
    percent(covered),
    number(size),
  ]);
  return [`Stated: ${percent(stated)}.`, "", ...table(["from", "rows", "held the truth", "mean size"], rows)];
}

function segmentTable({ segments, metric, champion }: Evaluation): string[] {
  const { title, higherIsBetter } = definitionOf(metric);
  const sign = higherIsBetter ? 1 : -1;
  const valueOf = ({ candidate }: SegmentEvaluation): number => candidate?.value ?? Number.NaN;
  const known = segments.filter((segment) => Number.isFinite(valueOf(segment)));
  if (known.length === 0) return [];
  const worst = known.toSorted((a, b) => sign * (valueOf(a) - valueOf(b))).slice(0, MAX_SEGMENTS);
  const header = ["segment", "rows", title, "95 %", ...(champion > 0 ? [`champion ${champion}`] : [])];
  const lines = worst.map((segment) => [
    `${segment.by} ${segment.segment}`,
    segment.rows.toLocaleString("en-US"),
    number(valueOf(segment)),
    range(segment.candidate),
    ...(champion > 0 ? [number(segment.champion?.value)] : []),
  ]);
  return [`The worst of ${known.length} segments:`, "", ...table(header, lines)];
}

function featureTable({ importance, metric }: Evaluation): string[] {
  const sorted = importance.toSorted((a, b) => b.permutation - a.permutation).slice(0, MAX_FEATURES);
  if (sorted.length === 0) return [];
  const hasGain = sorted.some(({ gain }) => Number.isFinite(gain));
  const header = ["feature", `${titleOf(metric)} lost when shuffled`, ...(hasGain ? ["share of split gain"] : [])];
  return table(
    header,
    sorted.map(({ feature, permutation, gain }) => [feature, number(permutation), ...(hasGain ? [percent(gain)] : [])]),
  );
}

function candidateTable({ candidates, metric, trials }: Evaluation): string[] {
  if (candidates.length === 0) return [];
  const lines = candidates.map(({ algorithm, chosen, metrics, seconds }) => [
    chosen ? `**${algorithm}**` : algorithm,
    number(metrics[metric]),
    `${seconds.toFixed(1)} s`,
  ]);
  const searched = trials.length === 0 ? [] : ["", `Parameters were looked for in ${trials.length} trials.`];
  return [...table(["candidate", titleOf(metric), "trained in"], lines), ...searched];
}

function foldTable({ folds, metric }: Evaluation): string[] {
  return folds.length === 0
    ? []
    : table(
        ["trained on", "judged from", "to", "rows", titleOf(metric)],
        folds.map(({ trainRows, from, to, rows, metrics }) => [
          trainRows.toLocaleString("en-US"),
          from === undefined ? "" : moment(timestampMs(from)),
          to === undefined ? "" : moment(timestampMs(to)),
          rows.toLocaleString("en-US"),
          number(metrics[metric]),
        ]),
      );
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(header), `|${header.map(() => "---").join("|")}|`, ...rows.map(line)];
}

const titleOf = (name: string): string => definitionOf(name).title;
const short = (hash: string): string => hash.slice(0, 12);
const moment = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const percent = (share: number): string => (Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : "–");

/** Four digits that matter. */
function number(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1_000 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(2) : value.toFixed(4);
}

const range = (estimate: Estimate | undefined): string =>
  estimate === undefined || !Number.isFinite(estimate.lower)
    ? "–"
    : `${number(estimate.lower)} to ${number(estimate.upper)}`;
