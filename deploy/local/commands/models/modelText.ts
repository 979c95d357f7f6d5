import {
  ModelState,
  type ModelVersion,
  type QuantizationComparison,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { alignedTable, wrapText } from "../../alignedTable.ts";
import { decimal, moment, shortHash, size, whole } from "../dataset/wording.ts";

const STATES: Readonly<Record<ModelState, string>> = {
  [ModelState.UNSPECIFIED]: "?",
  [ModelState.CANDIDATE]: "candidate",
  [ModelState.REJECTED]: "rejected",
  [ModelState.CHAMPION]: "champion",
  [ModelState.RETIRED]: "retired",
  [ModelState.SHADOW]: "shadow",
  [ModelState.CANARY]: "canary",
  [ModelState.DELETED]: "deleted",
};
const WIDTH = 120;

/** `flight-delays/3` */
export const nameOf = ({ app, number }: Pick<ModelVersion, "app" | "number">): string => `${app}/${number}`;

export const stateOf = ({ state }: Pick<ModelVersion, "state">): string => STATES[state] ?? "?";

const right = (title: string) => ({ title, align: "right" }) as const;

/** One line for each version. */
export const tableOf = (models: readonly ModelVersion[]): string[] =>
  alignedTable(
    [
      { title: "model" },
      { title: "state" },
      { title: "made by" },
      { title: "data up to" },
      right("log loss"),
      right("AUC"),
      right("ECE"),
      right("size"),
      { title: "precision" },
    ],
    models.map((model) => [
      nameOf(model),
      stateOf(model),
      model.origin === undefined ? model.algorithm : `${model.origin.author} (upload)`,
      moment(model.asOf),
      decimal(model.metrics["log_loss"]),
      decimal(model.metrics["auc"]),
      decimal(model.metrics["calibration_error"]),
      size(model.artefactBytes),
      model.quantization?.accepted === true ? "int8" : "float32",
    ]),
  );

/** All that is known of a version, for people. */
export function describeModel(model: ModelVersion): string[] {
  return [
    ...summary(model).map(([name, text]) => wrapText(`${name.padEnd(12)} ${text}`, WIDTH, " ".repeat(13))),
    "",
    ...metricsOf(model),
    "Verdict",
    ...model.verdict.map((sentence) => wrapText(`  ${sentence}`, WIDTH, "    ")),
    ...(model.quantization === undefined ? [] : ["", ...describeQuantization(model.quantization)]),
  ];
}

function summary(model: ModelVersion): [string, string][] {
  const { origin, featureNames, datasetHash } = model;
  const { parent, codeVersion, registeredAt } = model;
  const lines: [string, string][] = [
    ["model", `${nameOf(model)}, ${stateOf(model)}`],
    ["file", `${model.artefact}, ${size(model.artefactBytes)}`],
    ["columns", featureNames.join(", ")],
    ["app version", whole(model.appVersion)],
  ];
  if (registeredAt !== undefined) lines.push(["registered", `${moment(registeredAt)}, by the code ${codeVersion}`]);
  if (parent !== 0)
    lines.push(["compared", `with the champion of that time, ${nameOf({ app: model.app, number: parent })}`]);
  if (datasetHash !== "") lines.push(["data", `dataset ${shortHash(datasetHash)}, known up to ${moment(model.asOf)}`]);
  if (origin === undefined) {
    lines.push(["made by", `${model.algorithm}, ${model.parameters}`], ["job", model.jobId]);
    return lines;
  }
  lines.push([
    "uploaded",
    `${moment(origin.uploadedAt)} by ${origin.author}, as ${origin.sha256}, ${size(origin.bytes)}`,
  ]);
  if (origin.trainer !== "") lines.push(["made by", origin.trainer]);
  if (origin.notes !== "") lines.push(["notes", origin.notes]);
  return lines;
}

function metricsOf({ metrics, championMetrics }: ModelVersion): string[] {
  const names = Object.keys(metrics).sort();
  if (names.length === 0) return [];
  const hasChampion = Object.keys(championMetrics).length > 0;
  const columns = [{ title: "on the holdout" }, right("this model"), ...(hasChampion ? [right("champion then")] : [])];
  const rows = names.map((name) => [
    name,
    decimal(metrics[name]),
    ...(hasChampion ? [decimal(championMetrics[name])] : []),
  ]);
  return [...alignedTable(columns, rows), ""];
}

function describeQuantization(comparison: QuantizationComparison): string[] {
  const { accepted, verdict, timings, rows, comparedOn } = comparison;
  const lines = [`In int8: ${accepted ? "serves" : "does not serve"}`];
  lines.push(...verdict.map((sentence) => wrapText(`  ${sentence}`, WIDTH, "    ")));
  if (timings.length > 0) {
    lines.push(
      `  Probabilities differ by ${decimal(comparison.maxDifference)} at most and ${decimal(comparison.meanDifference)} on average, over ${whole(rows)} rows (${comparedOn}).`,
      `  The file has ${size(comparison.quantizedBytes)} instead of ${size(comparison.originalBytes)}.`,
      ...alignedTable(
        [right("  rows a batch"), right("float32 ms"), right("int8 ms"), right("times as fast")],
        timings.map(({ batchRows, originalMs, quantizedMs }) => [
          whole(batchRows),
          originalMs.toFixed(3),
          quantizedMs.toFixed(3),
          (originalMs / quantizedMs).toFixed(2),
        ]),
      ),
    );
  }
  lines.push(...comparison.quantizedLayers.map((layer) => `  int8:    ${layer}`));
  lines.push(...comparison.skippedLayers.map((layer) => wrapText(`  float32: ${layer}`, WIDTH, "           ")));
  return lines;
}
