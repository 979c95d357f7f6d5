import { availableParallelism } from "node:os";
import type { Bus } from "@millrace/bus";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { datasetOf, type ModelledApp, modelledApp, splitOf } from "./appRows.ts";
import type { Artefacts } from "./artefacts.ts";
import { type CandidateRows, candidateRows, requestsOf } from "./candidates.ts";
import type { OnProgress } from "./consumer.ts";
import type { BuiltDataset, DatasetClient } from "./dataset.ts";
import { checkRepeatedRows, datasetWarnings } from "./datasetWarnings.ts";
import { evaluateModel } from "./evaluation/evaluation.ts";
import { storeEvaluation } from "./evaluation/storedEvaluation.ts";
import type { ExternalCandidates } from "./external/externalCandidates.ts";
import { bestOf, compareSentence, type Judged, type Judgement, judge, judgeChampion, judgementOf } from "./judging.ts";
import { selectRows } from "./matrix.ts";
import type { Registry } from "./registry.ts";
import { inSpan } from "./spans.ts";
import type { TrainingStore } from "./store.ts";
import { trainCandidate, warningsOf } from "./train.ts";
import type { TrainRequest } from "./trainRequest.ts";
import { describeVersion } from "./version.ts";

export interface JobParts {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly registry: Registry;
  readonly artefacts: Artefacts;
  readonly datasets: DatasetClient;
  readonly external: ExternalCandidates;
  readonly maxRows: number;
}

/** Of the trees' trainer: the machine is shared with what serves. */
const THREADS = Math.min(2, availableParallelism());

/**
 * One training from job to registered version: dataset, split, candidates, ONNX files judged on the holdout, gates, registry.
 * What was judged is what serves: nothing is fitted again on the holdout.
 *
 * @throws `unavailable` when a neighbour is away (try again); any other MillraceError says why this job makes no model.
 */
export function runJob(
  parts: JobParts,
  job: TrainingJob,
  signal: AbortSignal,
  onProgress: OnProgress = () => undefined,
): Promise<void> {
  return inSpan("training job", { "millrace.app": job.app, "millrace.job": job.id }, async () => {
    const app = await modelledApp(parts.bus, job.app);
    const { metric } = app.model;
    const judgement = judgementOf(app);
    onProgress("building the dataset");
    const dataset = await datasetOf(parts.datasets, job, app.model, signal);
    checkRepeatedRows(dataset.rows);
    const split = await splitOf(dataset, app, parts.maxRows);
    const rows = candidateRows(dataset, split, app.model);
    const asked = await parts.external.ask(job, app, dataset, split, signal);
    const candidates = await trainAndJudge(app, rows, judgement, signal, onProgress);
    const champion = await parts.store.champion(job.app);
    const holdout = selectRows(dataset.rows, split.holdout);
    const outside = await parts.external.collect(asked, holdout, judgement, signal, onProgress);
    candidates.push(...outside.judged);
    const best = bestOf(candidates, metric);
    onProgress("judging the champion on the same rows");
    const against = await inSpan("evaluate champion", {}, () =>
      judgeChampion(champion, holdout, parts.artefacts, judgement),
    );
    onProgress("evaluating the best candidate");
    await inSpan("gate and register", {}, async () => {
      const warnings = await warningsAbout(parts, dataset, rows, judgement, signal);
      const request = { app, dataset, split, rows: dataset.rows, best, candidates, against, warnings };
      const gate = await evaluateModel(request);
      const compared = compareSentence(candidates, best, metric);
      const verdict = [...split.notes, ...outside.notes, ...warnings, compared, ...gate.verdict];
      const artefact = await parts.artefacts.put(best.onnx);
      const evaluation = await storeEvaluation(parts.artefacts, gate.evaluation);
      const { metrics } = gate;
      const version = describeVersion({ ...request, job, metrics, verdict, artefact, evaluation });
      signal.throwIfAborted();
      const outcome = gate.accepted ? "accepted" : "rejected";
      const comparedWith = champion?.number;
      await parts.registry.register({ job, version, outcome, comparedWith, asOfMs: dataset.asOfMs });
    });
  });
}

async function warningsAbout(
  { datasets }: JobParts,
  dataset: BuiltDataset,
  { train }: CandidateRows,
  { task }: Judgement,
  signal: AbortSignal,
): Promise<string[]> {
  return [...(await datasetWarnings(datasets, dataset, task, signal)), ...warningsOf(train)];
}

async function trainAndJudge(
  app: ModelledApp,
  rows: CandidateRows,
  judgement: Judgement,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Judged[]> {
  const judged: Judged[] = [];
  for (const request of requestsOf(app.model, rows, { threads: THREADS, signal })) {
    const { algorithm } = request;
    onProgress(`training ${algorithm}`);
    const told: TrainRequest = {
      ...request,
      onProgress: (share, what) => onProgress(`training ${algorithm}: ${what}`, share),
    };
    judged.push(await trainOne(told, rows, judgement));
  }
  return judged;
}

async function trainOne(
  request: TrainRequest,
  { train, holdout }: CandidateRows,
  judgement: Judgement,
): Promise<Judged> {
  const { algorithm } = request;
  const beganMs = performance.now();
  const trained = await inSpan(`train ${algorithm}`, { "millrace.rows": train.labels.length }, () =>
    trainCandidate(request),
  );
  const seconds = (performance.now() - beganMs) / 1_000;
  const result = await inSpan(`evaluate ${algorithm}`, {}, () => judge(trained.onnx, holdout, judgement));
  const parameters = JSON.stringify(trained.parameters);
  return { algorithm, onnx: trained.onnx, parameters, importance: Array.from(trained.importance), seconds, ...result };
}
