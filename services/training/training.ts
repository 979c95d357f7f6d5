import { durationToMs } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import type { Database } from "@millrace/db";
import type { ImplementedService } from "@millrace/rpc";
import { type Clock, type ServiceContext, systemClock } from "@millrace/runtime";
import { modelledApp } from "./appRows.ts";
import { Artefacts } from "./artefacts.ts";
import { readCodeVersion } from "./codeVersion.ts";
import type { Config } from "./config.ts";
import { consumeJobs } from "./consumer.ts";
import { DatasetClient } from "./dataset.ts";
import { ExternalCandidates } from "./external/externalCandidates.ts";
import { ExternalTasks } from "./external/externalTasks.ts";
import { consumeResults } from "./external/resultConsumer.ts";
import { MAX_MESSAGE_BYTES, registryService } from "./grpc.ts";
import { runJob } from "./job.ts";
import { JobStore } from "./jobStore.ts";
import { Outbox } from "./outbox.ts";
import { Registry } from "./registry.ts";
import { Scoring } from "./scoring.ts";
import { TrainingStore } from "./store.ts";
import { TrialWatch } from "./trialWatch.ts";
import { UPLOAD_TRIGGER, UploadCalls } from "./upload/uploadCall.ts";
import { runUpload } from "./upload/uploadJob.ts";
import { Uploads } from "./upload/uploads.ts";

export interface TrainingOptions extends ServiceContext {
  readonly config: Pick<Config, "datasetAddress" | "maxRows" | "maxMemoryBytes" | "maxUploadBytes">;
  readonly bus: Bus;
  readonly database: Database;
  readonly clock?: Clock;
  /** How often trials are looked at; for tests. */
  readonly lookMs?: number;
}

/** Of a job, where the app does not say `model.time_limit`. */
const TIME_LIMIT_MS = 2 * 3_600_000;

/** Puts the service together: what a crash left unpublished goes out first, then jobs are taken. */
export async function startTraining(
  stack: AsyncDisposableStack,
  { config, bus, database, clock = systemClock, lookMs, ...context }: TrainingOptions,
): Promise<{ service: ImplementedService; maxMessageBytes: number }> {
  const store = new TrainingStore(database);
  const jobs = new JobStore(database);
  const outbox = stack.use(new Outbox(bus, store, context.logger));
  await outbox.reconcile();
  const promotionOf = async (app: string) => (await modelledApp(bus, app)).model.promotion;
  const registry = new Registry({ store, outbox, clock, promotionOf, codeVersion: readCodeVersion() });
  const artefacts = new Artefacts(bus);
  const scoring = stack.use(new Scoring((artefact) => artefacts.get(artefact)));
  const datasets = stack.use(new DatasetClient(bus, config.datasetAddress));
  const uploads = new Uploads(database);
  const tasks = new ExternalTasks(database);
  stack.use(await consumeResults(bus, tasks, (error) => context.fail(error)));
  const external = new ExternalCandidates({ bus, datasets, tasks, clock, maxUploadBytes: config.maxUploadBytes });
  const parts = { ...config, bus, store, jobs, uploads, external, registry, artefacts, scoring, datasets, clock };
  stack.use(
    await consumeJobs({
      bus,
      jobs,
      registry,
      outbox,
      clock,
      logger: context.logger,
      signal: context.signal,
      run: (job, signal, onProgress) =>
        job.trigger === UPLOAD_TRIGGER ? runUpload(parts, job, signal) : runJob(parts, job, signal, onProgress),
      // An app that cannot be read is told about by the job itself.
      timeLimitMs: async (app) => {
        const known = await modelledApp(bus, app).catch(() => undefined);
        return durationToMs(known?.model.timeLimit) ?? TIME_LIMIT_MS;
      },
      onFailure: (error) => context.fail(error),
    }),
  );
  stack.use(new TrialWatch({ bus, database, registry, logger: context.logger, lookMs }));
  return { service: registryService({ ...parts, calls: new UploadCalls(parts) }), maxMessageBytes: MAX_MESSAGE_BYTES };
}
