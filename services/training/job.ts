import { availableParallelism } from "node:os";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { durationToMs, getApp, monitoredWindowMs } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import { mean } from "@millrace/metrics";
import { Algorithm, type App, type Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { SpanStatusCode, trace } from "@opentelemetry/api";
import type { Artefacts } from "./artefacts.ts";
import type { BuiltDataset, DatasetClient } from "./dataset.ts";
import { type ChampionResult, passGates } from "./gates.ts";
import { bestOf, compareSentence, type Judged, judge, judgeChampion } from "./judging.ts";
import { type Matrix, selectRows } from "./matrix.ts";
import { describeTraining } from "./reference.ts";
import type { Registry } from "./registry.ts";
import { type Split, splitByTime } from "./split.ts";
import type { TrainingStore } from "./store.ts";
import { trainCandidate } from "./train.ts";

export interface JobParts {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly registry: Registry;
  readonly artefacts: Artefacts;
  readonly datasets: DatasetClient;
  readonly maxRows: number;
}

/** Of the trees' trainer: the machine is shared with what serves. */
const THREADS = Math.min(2, availableParallelism());

const tracer = trace.getTracer("millrace.training");

/**
 * One training from job to registered version: dataset, split, candidates, ONNX files judged on the holdout, gates, registry.
 * What was judged is what serves: nothing is fitted again on the holdout.
 *
 * @throws `unavailable` when a neighbour is away (try again); any other MillraceError says why this job makes no model.
 */
export function runJob(parts: JobParts, job: TrainingJob, signal: AbortSignal): Promise<void> {
  return inSpan("training job", { "millrace.app": job.app, "millrace.job": job.id }, async () => {
    const { version: appVersion, app } = await getApp(parts.bus, job.app);
    const { model } = app as App;
    if (model === undefined) throw new MillraceError("failed_precondition", `The app ${job.app} has no model section`);
    const dataset = await inSpan("dataset", {}, () => buildDataset(parts, job, model, signal));
    const split = await inSpan("split", {}, () => Promise.resolve(splitDataset(dataset, app as App, model, parts)));
    const candidates = await trainAndJudge(dataset.rows, split, model, signal);
    const champion = await parts.store.champion(job.app);
    const holdout = selectRows(dataset.rows, split.holdout);
    const against = await inSpan("evaluate champion", {}, () => judgeChampion(champion, holdout, parts.artefacts));
    await inSpan("gate and register", {}, async () => {
      const best = bestOf(candidates, model.metric);
      const gate = passGates(model.gates, model.metric, best.metrics, against);
      const verdict = [...split.notes, compareSentence(candidates, best, model.metric), ...gate.verdict];
      const artefact = await parts.artefacts.put(best.onnx);
      const windowMs = monitoredWindowMs(app as App);
      const version = describeVersion({ job, appVersion, windowMs, dataset, split, best, against, verdict, artefact });
      signal.throwIfAborted();
      const comparedWith = champion?.number;
      await parts.registry.register({ job, version, accepted: gate.accepted, comparedWith, asOfMs: dataset.asOfMs });
    });
  });
}

function buildDataset(parts: JobParts, job: TrainingJob, model: Model, signal: AbortSignal): Promise<BuiltDataset> {
  const asOfMs = job.asOf === undefined ? undefined : timestampMs(job.asOf);
  const historyMs = durationToMs(model.history);
  return parts.datasets.build({
    app: job.app,
    signal,
    ...(asOfMs === undefined ? {} : { asOfMs }),
    ...(asOfMs === undefined || historyMs === undefined ? {} : { fromMs: asOfMs - historyMs }),
  });
}

function splitDataset({ rows, asOfMs }: BuiltDataset, app: App, model: Model, { maxRows }: JobParts): Split {
  const waitMs = durationToMs(app.label?.wait) ?? 0;
  return splitByTime(rows.occurredAtMs, rows.labels, { asOfMs, waitMs, holdout: model.holdout, maxRows });
}

const ALGORITHMS: Readonly<Record<Algorithm, "gbdt" | "logistic" | "baseline" | undefined>> = {
  [Algorithm.UNSPECIFIED]: undefined,
  [Algorithm.GBDT]: "gbdt",
  [Algorithm.LOGISTIC]: "logistic",
  [Algorithm.BASELINE]: "baseline",
};

async function trainAndJudge(rows: Matrix, split: Split, model: Model, signal: AbortSignal): Promise<Judged[]> {
  const train = selectRows(rows, split.train);
  const validation = selectRows(rows, split.validation);
  const calibration = selectRows(rows, split.calibration);
  const holdout = selectRows(rows, split.holdout);
  const judged: Judged[] = [];
  for (const candidate of model.candidates) {
    const algorithm = ALGORITHMS[candidate];
    if (algorithm === undefined) continue;
    const trained = await inSpan(`train ${algorithm}`, { "millrace.rows": train.labels.length }, () =>
      trainCandidate({ algorithm, train, validation, calibration, seed: model.seed, threads: THREADS, signal }),
    );
    const result = await inSpan(`evaluate ${algorithm}`, {}, () => judge(trained.onnx, holdout));
    judged.push({
      algorithm,
      onnx: trained.onnx,
      parameters: JSON.stringify(trained.parameters),
      importance: Array.from(trained.importance),
      ...result,
    });
  }
  return judged;
}

interface VersionParts {
  readonly job: TrainingJob;
  readonly appVersion: number;
  /** Length of the app's monitored windows. */
  readonly windowMs: number;
  readonly dataset: BuiltDataset;
  readonly split: Split;
  readonly best: Judged;
  readonly against: ChampionResult;
  readonly verdict: readonly string[];
  readonly artefact: string;
}

function describeVersion({ job, dataset, split, best, against, ...rest }: VersionParts): ModelVersion {
  const { rows, manifest, asOfMs } = dataset;
  return create(ModelVersionSchema, {
    app: job.app,
    jobId: job.id,
    algorithm: best.algorithm,
    artefact: rest.artefact,
    artefactBytes: BigInt(best.onnx.length),
    featureNames: [...rows.featureNames],
    datasetHash: manifest.contentHash,
    appVersion: rest.appVersion,
    asOf: timestampFromMs(asOfMs),
    metrics: best.metrics,
    championMetrics: against.kind === "measured" ? against.metrics : {},
    verdict: [...rest.verdict],
    baseRate: mean(selectRows(rows, split.train).labels),
    reference: describeTraining({
      ...rows,
      train: split.train,
      holdout: split.holdout,
      predictions: best.probabilities,
      windowMs: rest.windowMs,
    }),
    parameters: best.parameters,
    importance: [...best.importance],
  });
}

function inSpan<Result>(
  name: string,
  attributes: Record<string, string | number>,
  work: () => Promise<Result>,
): Promise<Result> {
  return tracer.startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await work();
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}
