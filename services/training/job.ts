import { availableParallelism } from "node:os";
import { durationToMs } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import type { RollingFold } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { datasetOf, type ModelledApp, modelledApp, splitOf, splitOptions } from "./appRows.ts";
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
import { rollingFolds } from "./rolling.ts";
import { searchParameters, type Trial } from "./search.ts";
import { inSpan } from "./spans.ts";
import type { Split } from "./split.ts";
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
  readonly maxMemoryBytes: number;
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
    await runWithin(parts, job, app, signal, onProgress);
  });
}

async function runWithin(
  parts: JobParts,
  job: TrainingJob,
  app: ModelledApp,
  signal: AbortSignal,
  tell: OnProgress,
): Promise<void> {
  const { metric } = app.model;
  const judgement = judgementOf(app);
  tell("building the dataset");
  const dataset = await datasetOf(parts.datasets, job, app.model, signal, parts.maxMemoryBytes);
  checkRepeatedRows(dataset.rows);
  const split = await splitOf(dataset, app, parts.maxRows);
  const rows = candidateRows(dataset, split, app.model);
  const asked = await parts.external.ask(job, app, dataset, split, signal);
  const { candidates, trials } = await trainAndJudge(app, rows, judgement, signal, tell);
  const champion = await parts.store.champion(job.app);
  const holdout = selectRows(dataset.rows, split.holdout);
  const outside = await parts.external.collect(asked, holdout, judgement, signal, tell);
  candidates.push(...outside.judged);
  const best = bestOf(candidates, metric);
  const folds = await foldsOf(parts, app, dataset, split, best, judgement, signal, tell);
  tell("judging the champion on the same rows");
  const against = await inSpan("evaluate champion", {}, () =>
    judgeChampion(champion, holdout, parts.artefacts, judgement),
  );
  tell("evaluating the best candidate");
  await inSpan("gate and register", {}, async () => {
    const warnings = await warningsAbout(parts, dataset, rows, signal);
    const request = { app, dataset, split, rows: dataset.rows, best, candidates, against, warnings, trials, folds };
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
}

async function warningsAbout(
  { datasets }: JobParts,
  dataset: BuiltDataset,
  { train }: CandidateRows,
  signal: AbortSignal,
): Promise<string[]> {
  return [...(await datasetWarnings(datasets, dataset, signal)), ...warningsOf(train)];
}

/** Each candidate, with the parameters that a search found where the app asks for one. */
export async function trainAndJudge(
  app: ModelledApp,
  rows: CandidateRows,
  judgement: Judgement,
  signal: AbortSignal,
  tell: OnProgress,
): Promise<{ candidates: Judged[]; trials: Trial[] }> {
  const { search } = app.model;
  const requests = requestsOf(app.model, rows, { threads: THREADS, signal });
  const searchMs = durationToMs(search?.time) ?? Infinity;
  const beganMs = performance.now();
  const candidates: Judged[] = [];
  const trials: Trial[] = [];
  for (const [index, request] of requests.entries()) {
    const { algorithm } = request;
    let parameters = {};
    if (search !== undefined) {
      tell(`search for parameters of ${algorithm}`);
      // Time that one candidate does not need is the next one's.
      const untilMs = beganMs + searchMs * ((index + 1) / requests.length);
      const found = await inSpan(`search ${algorithm}`, {}, () =>
        searchParameters(request, { trials: search.trials, untilMs }),
      );
      trials.push(...found.trials);
      ({ parameters } = found);
    }
    const onProgress = (share: number, what: string): void => tell(`training ${algorithm}: ${what}`, share);
    candidates.push(await trainOne({ ...request, parameters, onProgress }, rows, judgement));
  }
  return { candidates, trials };
}

async function trainOne(
  request: TrainRequest,
  { train, holdout }: CandidateRows,
  judgement: Judgement,
): Promise<Judged> {
  const { algorithm, parameters: given = {} } = request;
  const beganMs = performance.now();
  const trained = await inSpan(`train ${algorithm}`, { "millrace.rows": train.labels.length }, () =>
    trainCandidate(request),
  );
  const seconds = (performance.now() - beganMs) / 1_000;
  const result = await inSpan(`evaluate ${algorithm}`, {}, () => judge(trained.onnx, holdout, judgement));
  const parameters = JSON.stringify(trained.parameters);
  const importance = Array.from(trained.importance);
  return { algorithm, onnx: trained.onnx, parameters, given, importance, seconds, ...result };
}

/** The winner's way of training at earlier times, where the app asks for it. */
async function foldsOf(
  { maxRows }: JobParts,
  app: ModelledApp,
  dataset: BuiltDataset,
  split: Split,
  best: Judged,
  judgement: Judgement,
  signal: AbortSignal,
  tell: OnProgress,
): Promise<RollingFold[]> {
  const { rolling } = app.model;
  // What is trained elsewhere is not trained again.
  if (rolling === 0 || best.algorithm.startsWith("external:")) return [];
  tell("train at earlier times");
  const options = splitOptions(dataset, app, maxRows);
  return inSpan("rolling origin", {}, () =>
    rollingFolds(dataset.rows, options, split, rolling, async (fold) => {
      const rows = candidateRows(dataset, fold, app.model);
      const requests = requestsOf(app.model, rows, { threads: THREADS, signal });
      const request = requests.find(({ algorithm }) => algorithm === best.algorithm) as TrainRequest;
      const { metrics } = await trainOne({ ...request, parameters: best.given }, rows, judgement);
      return { rows, metrics };
    }),
  );
}
