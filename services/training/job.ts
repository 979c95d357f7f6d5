import { availableParallelism } from "node:os";
import type { Bus } from "@millrace/bus";
import { Algorithm, type Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { datasetOf, modelledApp, splitOf } from "./appRows.ts";
import type { Artefacts } from "./artefacts.ts";
import type { OnProgress } from "./consumer.ts";
import type { DatasetClient } from "./dataset.ts";
import type { ExternalCandidates } from "./external/externalCandidates.ts";
import { passGates } from "./gates.ts";
import { bestOf, compareSentence, type Judged, judge, judgeChampion } from "./judging.ts";
import { type Matrix, selectRows } from "./matrix.ts";
import type { Registry } from "./registry.ts";
import { inSpan } from "./spans.ts";
import type { Split } from "./split.ts";
import type { TrainingStore } from "./store.ts";
import { trainCandidate } from "./train.ts";
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
    const { model } = app;
    onProgress("building the dataset");
    const dataset = await datasetOf(parts.datasets, job, model, signal);
    const split = await splitOf(dataset, app, parts.maxRows);
    const asked = await parts.external.ask(job, app, dataset, split, signal);
    const candidates = await trainAndJudge(dataset.rows, split, model, signal, onProgress);
    const champion = await parts.store.champion(job.app);
    const holdout = selectRows(dataset.rows, split.holdout);
    const outside = await parts.external.collect(asked, holdout, signal, onProgress);
    candidates.push(...outside.judged);
    onProgress("judging the champion on the same rows");
    const against = await inSpan("evaluate champion", {}, () => judgeChampion(champion, holdout, parts.artefacts));
    await inSpan("gate and register", {}, async () => {
      const best = bestOf(candidates, model.metric);
      const gate = passGates(model.gates, model.metric, best.metrics, against);
      const verdict = [
        ...split.notes,
        ...outside.notes,
        compareSentence(candidates, best, model.metric),
        ...gate.verdict,
      ];
      const artefact = await parts.artefacts.put(best.onnx);
      const { rows } = dataset;
      const version = describeVersion({ job, app, dataset, rows, split, best, against, verdict, artefact });
      signal.throwIfAborted();
      const outcome = gate.accepted ? "accepted" : "rejected";
      const comparedWith = champion?.number;
      await parts.registry.register({ job, version, outcome, comparedWith, asOfMs: dataset.asOfMs });
    });
  });
}

const ALGORITHMS: Readonly<Record<Algorithm, "gbdt" | "logistic" | "baseline" | undefined>> = {
  [Algorithm.UNSPECIFIED]: undefined,
  [Algorithm.GBDT]: "gbdt",
  [Algorithm.LOGISTIC]: "logistic",
  [Algorithm.BASELINE]: "baseline",
};

async function trainAndJudge(
  rows: Matrix,
  split: Split,
  model: Model,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Judged[]> {
  const train = selectRows(rows, split.train);
  const validation = selectRows(rows, split.validation);
  const calibration = selectRows(rows, split.calibration);
  const holdout = selectRows(rows, split.holdout);
  const judged: Judged[] = [];
  for (const candidate of model.candidates) {
    const algorithm = ALGORITHMS[candidate];
    if (algorithm === undefined) continue;
    onProgress(`training ${algorithm}`);
    const trained = await inSpan(`train ${algorithm}`, { "millrace.rows": train.labels.length }, () =>
      trainCandidate({
        algorithm,
        train,
        validation,
        calibration,
        seed: model.seed,
        threads: THREADS,
        signal,
        onProgress: (share, what) => onProgress(`training ${algorithm}: ${what}`, share),
      }),
    );
    onProgress(`judging ${algorithm} on the holdout`);
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
