import type { Bus } from "@millrace/bus";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import { datasetOf, type ModelledApp, modelledApp, splitOf } from "../appRows.ts";
import type { Artefacts } from "../artefacts.ts";
import type { BuiltDataset, DatasetClient } from "../dataset.ts";
import { datasetWarnings } from "../datasetWarnings.ts";
import { evaluateModel } from "../evaluation/evaluation.ts";
import { storeEvaluation } from "../evaluation/storedEvaluation.ts";
import { judgeChampion, judgementOf } from "../judging.ts";
import { selectRows, withColumns } from "../matrix.ts";
import type { Registry } from "../registry.ts";
import { inSpan } from "../spans.ts";
import type { Split } from "../split.ts";
import type { TrainingStore } from "../store.ts";
import { taskOf } from "../task.ts";
import { describeUnjudged, describeVersion } from "../version.ts";
import { chooseArtefact, type Trial } from "./chooseArtefact.ts";
import { sampleRows } from "./sampleRows.ts";
import type { Upload, Uploads } from "./uploads.ts";

export interface UploadJobParts {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly uploads: Uploads;
  readonly registry: Registry;
  readonly artefacts: Artefacts;
  readonly datasets: DatasetClient;
  readonly clock: Clock;
  readonly maxRows: number;
  readonly maxMemoryBytes: number;
}

/** Rows without labels that two files are compared on. */
const MAX_TRIAL_ROWS = 10_000;
const RANDOM_ROWS = 1_000;

/** What an app's history has to judge a model by. */
interface History {
  readonly dataset?: BuiltDataset;
  readonly split?: Split;
  /** Why there is no split. */
  readonly lacking?: string;
}

/**
 * Judges an uploaded model as a trained one is judged: on the newest rows of the app's newest dataset, beside the champion, by the same
 * gates. Where the app has no labelled history yet, it is registered for a person to decide.
 *
 * @throws `unavailable` when a neighbour is away (try again); any other MillraceError says why it is not registered
 */
export function runUpload(parts: UploadJobParts, job: TrainingJob, signal: AbortSignal): Promise<void> {
  return inSpan("upload job", { "millrace.app": job.app, "millrace.job": job.id }, async () => {
    const upload = await parts.uploads.ofJob(job.id);
    if (upload === undefined) throw new MillraceError("not_found", `There is no upload for the job ${job.id}`);
    const app = await modelledApp(parts.bus, job.app);
    if (taskOf(app.model).kind !== "binary") {
      const what = "A model that was made elsewhere can be judged for BINARY apps only, so far";
      throw new MillraceError("failed_precondition", `${what}; ${job.app} is another`);
    }
    const history = await historyOf(parts, job, app, signal);
    const { dataset, split } = history;
    if (dataset === undefined || split === undefined)
      await registerUnjudged(parts, { job, upload, app, history }, signal);
    else await registerJudged(parts, { job, upload, app, dataset, split }, signal);
  });
}

async function historyOf(
  { datasets, maxRows, maxMemoryBytes }: UploadJobParts,
  job: TrainingJob,
  app: ModelledApp,
  signal: AbortSignal,
): Promise<History> {
  let dataset: BuiltDataset | undefined;
  try {
    dataset = await datasetOf(datasets, job, app.model, signal, maxMemoryBytes);
    return { dataset, split: await splitOf(dataset, app, maxRows) };
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== "failed_precondition") throw error;
    return { lacking: describeError(error), ...(dataset === undefined ? {} : { dataset }) };
  }
}

interface JudgedUpload {
  readonly job: TrainingJob;
  readonly upload: Upload;
  readonly app: ModelledApp;
  readonly dataset: BuiltDataset;
  readonly split: Split;
}

async function registerJudged(parts: UploadJobParts, judged: JudgedUpload, signal: AbortSignal): Promise<void> {
  const { job, upload, app, dataset, split } = judged;
  const { store, artefacts, registry } = parts;
  const rows = withColumns(dataset.rows, upload.columns);
  const trial = { upload, app, rows: selectRows(rows, split.holdout), rowsAre: "labelled holdout" } as const;
  const chosen = await chooseArtefact(artefacts, trial, signal);
  const champion = await store.champion(job.app);
  const ofChampion = selectRows(dataset.rows, split.holdout);
  const against = await inSpan("evaluate champion", {}, () =>
    judgeChampion(champion, ofChampion, artefacts, judgementOf(app)),
  );
  const { judged: best, artefact } = chosen;
  const warnings = await datasetWarnings(parts.datasets, dataset, signal);
  const gate = await inSpan("gate", {}, () =>
    evaluateModel({ app, dataset, split, rows, best, candidates: [best], against, warnings, trials: [], folds: [] }),
  );
  const evaluation = await storeEvaluation(artefacts, gate.evaluation);
  const verdict = [...split.notes, ...originSentences(upload), ...chosen.sentences, ...gate.verdict];
  const { metrics } = gate;
  const version = describeVersion({
    job,
    app,
    dataset,
    rows,
    split,
    best,
    metrics,
    against,
    verdict,
    artefact,
    evaluation,
  });
  Object.assign(version, lineageOf(upload, chosen.comparison));
  signal.throwIfAborted();
  const outcome = gate.accepted ? "accepted" : "rejected";
  const { author: who } = upload.origin;
  const comparedWith = champion?.number;
  await registry.register({ job, version, outcome, who, comparedWith, asOfMs: dataset.asOfMs });
}

interface UnjudgedUpload extends Pick<JudgedUpload, "job" | "upload" | "app"> {
  readonly history: History;
}

async function registerUnjudged(parts: UploadJobParts, unjudged: UnjudgedUpload, signal: AbortSignal): Promise<void> {
  const { job, upload, app, history } = unjudged;
  const { store, artefacts, registry, clock } = parts;
  const { dataset, lacking } = history;
  const { judged: best, artefact, ...chosen } = await chooseArtefact(artefacts, trialOf(upload, app, dataset), signal);
  const champion = await store.champion(job.app);
  const why = `It could not be judged and does not serve until somebody promotes it. ${lacking}.`;
  const verdict = [...originSentences(upload), ...chosen.sentences, why];
  const version = describeUnjudged({ job, app, best, verdict, artefact, dataset, columns: upload.columns });
  Object.assign(version, lineageOf(upload, chosen.comparison));
  signal.throwIfAborted();
  const asOfMs = dataset?.asOfMs ?? (await store.latestEventTimeMs(job.app)) ?? clock.now();
  const { author: who } = upload.origin;
  await registry.register({ job, version, outcome: "unjudged", who, comparedWith: champion?.number, asOfMs });
}

/** Rows of the dataset, whose labels are not known, or rows that look like standardised features. */
function trialOf(upload: Upload, app: ModelledApp, dataset: BuiltDataset | undefined): Trial {
  if (dataset !== undefined) {
    const all = withColumns(dataset.rows, upload.columns);
    const count = Math.min(MAX_TRIAL_ROWS, all.labels.length);
    const chosen = Array.from({ length: count }, (_, index) => Math.floor((index * all.labels.length) / count));
    return { upload, app, rows: selectRows(all, chosen), rowsAre: "rows of the dataset" };
  }
  const { columns } = upload;
  const values = sampleRows(RANDOM_ROWS, columns.length);
  const rows = {
    featureNames: columns,
    columns: columns.map((_, column) =>
      Float64Array.from({ length: RANDOM_ROWS }, (_, row) => values[row * columns.length + column] as number),
    ),
    labels: new Float64Array(RANDOM_ROWS).fill(Number.NaN),
  };
  return { upload, app, rows, rowsAre: "random rows" };
}

function lineageOf(
  { origin }: Upload,
  quantization: ModelVersion["quantization"],
): Pick<ModelVersion, "origin" | "quantization"> {
  return { origin, ...(quantization === undefined ? {} : { quantization }) };
}

function originSentences({ origin: { author, trainer, adaptations } }: Upload): string[] {
  return [`${author} uploaded it${trainer === "" ? "" : `, made by ${trainer}`}.`, ...adaptations];
}
