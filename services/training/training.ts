import type { Bus } from "@millrace/bus";
import type { Database } from "@millrace/db";
import type { ImplementedService } from "@millrace/rpc";
import { type Clock, type ServiceContext, systemClock } from "@millrace/runtime";
import { Artefacts } from "./artefacts.ts";
import type { Config } from "./config.ts";
import { consumeJobs } from "./consumer.ts";
import { DatasetClient } from "./dataset.ts";
import { MAX_MESSAGE_BYTES, registryService } from "./grpc.ts";
import { runJob } from "./job.ts";
import { Outbox } from "./outbox.ts";
import { progressLog } from "./progressLog.ts";
import { Registry } from "./registry.ts";
import { Scoring } from "./scoring.ts";
import { TrainingStore } from "./store.ts";
import { UPLOAD_TRIGGER, UploadCalls } from "./upload/uploadCall.ts";
import { runUpload } from "./upload/uploadJob.ts";
import { Uploads } from "./upload/uploads.ts";

export interface TrainingOptions extends ServiceContext {
  readonly config: Pick<Config, "datasetAddress" | "maxRows" | "maxMemoryBytes" | "maxUploadBytes">;
  readonly bus: Bus;
  readonly database: Database;
  readonly clock?: Clock;
}

/** Puts the service together: what a crash left unpublished goes out first, then jobs are taken. */
export async function startTraining(
  stack: AsyncDisposableStack,
  { config, bus, database, clock = systemClock, ...context }: TrainingOptions,
): Promise<{ service: ImplementedService; maxMessageBytes: number }> {
  const store = new TrainingStore(database);
  const outbox = stack.use(new Outbox(bus, store, context.logger));
  await outbox.reconcile();
  const registry = new Registry(store, outbox, clock);
  const artefacts = new Artefacts(bus);
  const scoring = stack.use(new Scoring((artefact) => artefacts.get(artefact)));
  const datasets = stack.use(new DatasetClient(bus, config.datasetAddress));
  const uploads = new Uploads(database);
  const onProgress = progressLog(context.logger, clock);
  const parts = { ...config, bus, store, uploads, registry, artefacts, scoring, datasets, clock, onProgress };
  stack.use(
    await consumeJobs({
      bus,
      store,
      registry,
      outbox,
      clock,
      logger: context.logger,
      signal: context.signal,
      run: (job, signal) => (job.trigger === UPLOAD_TRIGGER ? runUpload : runJob)(parts, job, signal),
      onFailure: (error) => context.fail(error),
    }),
  );
  return { service: registryService({ ...parts, calls: new UploadCalls(parts) }), maxMessageBytes: MAX_MESSAGE_BYTES };
}
