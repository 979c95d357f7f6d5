import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CandidateEvaluationSchema,
  type DataPart,
  DataPartSchema,
  type Evaluation,
  EvaluationSchema,
  FeatureImportanceSchema,
  MetricEstimateSchema,
} from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import type { ModelledApp } from "../appRows.ts";
import type { BuiltDataset } from "../dataset.ts";
import { withArtefact } from "../evaluate.ts";
import { type ChampionResult, DEFAULT_CONFIDENCE, type GateResult, passGates } from "../gates.ts";
import { type Judged, type Judgement, judgementOf } from "../judging.ts";
import { type Matrix, selectRows } from "../matrix.ts";
import { worstSegmentsSentence } from "../segmentGates.ts";
import type { Split } from "../split.ts";
import { confusionOf, coverageSlices, curvesOf, decisionsOf } from "./details.ts";
import { estimateMetrics, type MetricComparison, metricsOf, SAMPLES } from "./estimates.ts";
import { permutationImportance } from "./importance.ts";
import type { AnsweredRows } from "./measures.ts";
import { definitionOf, type Metrics, metricDefinition } from "./metrics.ts";
import { measurePerformance } from "./performance.ts";
import { segmentColumns } from "./segmentColumns.ts";
import { evaluateSegments } from "./segments.ts";

/** Rows that the gateway puts together, where the app says nothing. */
const DEFAULT_BATCH_ROWS = 64;

export interface EvaluationRequest {
  readonly app: ModelledApp;
  readonly dataset: BuiltDataset;
  readonly split: Split;
  /** The dataset's rows with the model's columns, in its order. */
  readonly rows: Matrix;
  readonly best: Judged;
  /** All that were trained, `best` among them. */
  readonly candidates: readonly Judged[];
  readonly against: ChampionResult;
  /** About the data. */
  readonly warnings: readonly string[];
}

export interface EvaluatedModel extends GateResult {
  readonly evaluation: Evaluation;
  /** Of the holdout, as a version keeps them. */
  readonly metrics: Metrics;
}

/** Everything that is to be known about how good a model is, and whether it passes the app's gates. */
export async function evaluateModel(request: EvaluationRequest): Promise<EvaluatedModel> {
  const { app, dataset, split, rows, best, against, warnings } = request;
  const { model } = app;
  const judgement = judgementOf(app);
  const holdout = selectRows(rows, split.holdout);
  const candidate: AnsweredRows = { ...judgement, labels: holdout.labels, answers: best.answers };
  const champion = against.kind === "measured" ? { ...candidate, answers: against.answers } : undefined;
  const options = { seed: model.seed, confidence: model.gates?.confidence || DEFAULT_CONFIDENCE };
  const comparisons = estimateMetrics(candidate, champion, options);
  const metrics = metricsOf(candidate, comparisons);
  const { key } = metricDefinition(model.metric);
  const columns = segmentColumns(app, dataset, split.holdout);
  const segments = evaluateSegments(columns, key, candidate, champion, options);
  const measured = await measureFile(request, holdout, judgement);
  const advantage = comparisons.find(({ name }) => name === key)?.advantage;
  const { gates, metric } = model;
  const { performance } = measured;
  const result = passGates({
    gates,
    metric,
    candidate: metrics,
    champion: against,
    advantage,
    segments,
    performance,
    warnings,
  });
  const worst = worstSegmentsSentence({ metric, segments });
  const evaluation = create(EvaluationSchema, {
    task: model.task,
    classes: [...model.classes],
    parts: partsOf(split, dataset),
    metrics: comparisons.map(messageOf),
    metric: key,
    champion: against.kind === "measured" ? against.number : 0,
    curves: curvesOf(candidate),
    segments,
    importance: rows.featureNames.map((feature, index) =>
      create(FeatureImportanceSchema, {
        feature,
        permutation: measured.importance[index] ?? Number.NaN,
        gain: best.importance[index] ?? Number.NaN,
      }),
    ),
    decisions: decisionsOf(candidate),
    confusion: confusionOf(candidate),
    coverage: coverageSlices(
      candidate,
      Float64Array.from(split.holdout, (row) => dataset.rows.occurredAtMs[row] as number),
    ),
    gates: [...result.checks],
    warnings: [...warnings],
    candidates: request.candidates.map((other) =>
      create(CandidateEvaluationSchema, {
        algorithm: other.algorithm,
        chosen: other === best,
        metrics: other.metrics,
        parameters: other.parameters,
        seconds: other.seconds,
      }),
    ),
    performance,
    bootstrapSamples: SAMPLES,
    seed: model.seed,
  });
  return { ...result, verdict: [...(worst === undefined ? [] : [worst]), ...result.verdict], evaluation, metrics };
}

/** What only the file itself can tell: how fast it is, and what its answers depend on. */
function measureFile({ app, best }: EvaluationRequest, holdout: Matrix, judgement: Judgement) {
  const batchRows = app.app.serving?.batch?.maxSize || DEFAULT_BATCH_ROWS;
  const { metric, seed } = app.model;
  return withArtefact(best.onnx, async (artefact) => ({
    performance: await measurePerformance(artefact, best.onnx, holdout, batchRows),
    importance: await permutationImportance(artefact, holdout, judgement, metric, seed),
  }));
}

function messageOf({ name, candidate, champion, advantage }: MetricComparison) {
  return create(MetricEstimateSchema, {
    name,
    higherIsBetter: definitionOf(name).higherIsBetter,
    candidate,
    ...(champion === undefined ? {} : { champion }),
    ...(advantage === undefined ? {} : { advantage }),
  });
}

function partsOf(split: Split, { rows }: BuiltDataset): DataPart[] {
  const { train, validation, calibration, holdout } = split;
  return Object.entries({ train, validation, calibration, holdout }).map(([name, part]) => {
    const timeOf = (row: number | undefined): number => (row === undefined ? 0 : (rows.occurredAtMs[row] as number));
    const [from, to] = [timestampFromMs(timeOf(part[0])), timestampFromMs(timeOf(part.at(-1)))];
    return create(DataPartSchema, { name, rows: BigInt(part.length), from, to });
  });
}
