import { timestampMs } from "@bufbuild/protobuf/wkt";
import { durationToMs, getApp } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import type { App, Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { BuiltDataset, DatasetClient } from "./dataset.ts";
import { inSpan } from "./spans.ts";
import { type Split, splitByTime } from "./split.ts";
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
): Promise<BuiltDataset> {
  const asOfMs = asOf === undefined ? undefined : timestampMs(asOf);
  const historyMs = durationToMs(model.history);
  return inSpan("dataset", {}, () =>
    datasets.build({
      app,
      signal,
      ...(asOfMs === undefined ? {} : { asOfMs }),
      ...(asOfMs === undefined || historyMs === undefined ? {} : { fromMs: asOfMs - historyMs }),
    }),
  );
}

/** Which of them are trained on, and which of them judge. */
export function splitOf({ rows, asOfMs }: BuiltDataset, { app, model }: ModelledApp, maxRows: number): Promise<Split> {
  const waitMs = durationToMs(app.label?.wait) ?? 0;
  const options = { asOfMs, waitMs, holdout: model.holdout, maxRows, task: taskOf(model) };
  return inSpan("split", {}, () => Promise.resolve(splitByTime(rows.occurredAtMs, rows.labels, options)));
}
