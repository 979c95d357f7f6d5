import { timestampMs } from "@bufbuild/protobuf/wkt";
import { durationToMs, getApp } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import type { App, Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { BuiltDataset, DatasetClient } from "./dataset.ts";
import { inSpan } from "./spans.ts";
import { type Split, type SplitOptions, splitByTime } from "./split.ts";
import { taskOf } from "./task.ts";

/** An app that has models. */
export interface ModelledApp {
  readonly version: number;
  readonly app: App;
  readonly model: Model;
}

/** @throws `not_found` for an app that nobody applied, `failed_precondition` for one without a model section */
export async function modelledApp(bus: Bus, name: string): Promise<ModelledApp> {
  const { version, app } = await getApp(bus, name);
  const model = app?.model;
  if (app === undefined || model === undefined) {
    throw new MillraceError("failed_precondition", `The app ${name} has no model section`);
  }
  return { version, app, model };
}

/** The rows that a job may know. */
export function datasetOf(
  datasets: DatasetClient,
  { app, asOf }: TrainingJob,
  model: Model,
  signal: AbortSignal,
  maxBytes: number,
): Promise<BuiltDataset> {
  const asOfMs = asOf === undefined ? undefined : timestampMs(asOf);
  const historyMs = durationToMs(model.history);
  return inSpan("dataset", {}, () =>
    datasets.build({
      app,
      signal,
      maxBytes,
      ...(asOfMs === undefined ? {} : { asOfMs }),
      ...(asOfMs === undefined || historyMs === undefined ? {} : { fromMs: asOfMs - historyMs }),
    }),
  );
}

/** How the app's rows are to be split. */
export function splitOptions({ asOfMs }: BuiltDataset, { app, model }: ModelledApp, maxRows: number): SplitOptions {
  const waitMs = durationToMs(app.label?.wait) ?? 0;
  return { asOfMs, waitMs, holdout: model.holdout, maxRows, task: taskOf(model) };
}

/** Which of them are trained on, and which of them judge. */
export function splitOf(dataset: BuiltDataset, app: ModelledApp, maxRows: number): Promise<Split> {
  const { rows } = dataset;
  const options = splitOptions(dataset, app, maxRows);
  return inSpan("split", {}, () => Promise.resolve(splitByTime(rows.occurredAtMs, rows.labels, options)));
}
