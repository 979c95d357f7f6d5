import { randomUUID } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "@millrace/app";
import type { Bus, JsMsg, Outcome, RunningConsumer } from "@millrace/bus";
import { contextOf, decode, done, reject, retry, within } from "@millrace/bus";
import { type TrainingJob, TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { JobRun } from "./jobRun.ts";
import type { JobStore } from "./jobStore.ts";
import type { Outbox } from "./outbox.ts";
import type { Registry } from "./registry.ts";

/** A job that stopped the process this often is not tried again. */
const MAX_STARTS = 2;
/** A job whose app has another running is looked at again after this long. */
const BUSY_MS = 1_000;

/** Says what a job is doing, and which share of that is done, 0 to 1. */
export type OnProgress = (stage: string, share?: number) => void;

export interface JobConsumerOptions {
  readonly bus: Bus;
  readonly jobs: JobStore;
  readonly registry: Registry;
  readonly outbox: Outbox;
  /** Trains, judges and registers. */
  readonly run: (job: TrainingJob, signal: AbortSignal, onProgress: OnProgress) => Promise<void>;
  /** How long a job of the app may take. */
  readonly timeLimitMs: (app: string) => Promise<number>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

interface Runner extends JobConsumerOptions {
  /** Names this process in the table of jobs. */
  readonly holder: string;
  /** Jobs that this process began: what it could not finish for lack of a neighbour did not crash it. */
  readonly begun: Set<string>;
}

/**
 * Takes training jobs, one at a time, and acknowledges each once its result is durable and published. Of several processes each takes jobs;
 * those of one app never run together.
 */
export function consumeJobs(options: JobConsumerOptions): Promise<RunningConsumer> {
  const runner = { ...options, holder: randomUUID(), begun: new Set<string>() };
  return options.bus.consume({
    stream: "TRAINING",
    durable: "training-all",
    filter: "training.jobs.>",
    maxBatch: 1,
    onFailure: options.onFailure,
    handle: ([message]) => handle(runner, message as JsMsg),
  });
}

async function handle(runner: Runner, message: JsMsg): Promise<Outcome> {
  let job: TrainingJob;
  try {
    job = decode(TrainingJobSchema, message.data);
  } catch (error) {
    return reject(describeError(error));
  }
  if (job.id === "" || job.app === "") return reject("a training job needs an id and an app");
  return within(contextOf(message.headers?.get("traceparent")), () => perform(runner, job));
}

async function perform(runner: Runner, job: TrainingJob): Promise<Outcome> {
  const { jobs, registry, outbox, clock, holder, begun } = runner;
  const claim = await jobs.claim(job);
  if (claim.state !== "waiting" && claim.state !== "running") {
    await outbox.flush();
    return done();
  }
  if (claim.starts >= MAX_STARTS && !begun.has(job.id)) {
    const why = `The training stopped the process ${claim.starts} times; it is not tried again.`;
    await registry.fail(job, why, eventTimeOf(job, clock));
    return done();
  }
  const other = await jobs.start(job, holder, clock.now());
  if (other !== undefined) return retry(BUSY_MS, `the job ${other} of ${job.app} is running`);
  begun.add(job.id);
  await runHeld(runner, job);
  begun.delete(job.id);
  return done();
}

async function runHeld(runner: Runner, job: TrainingJob): Promise<void> {
  const { jobs, registry, run, clock, logger, holder } = runner;
  logger.info({ job: job.id, app: job.app, trigger: job.trigger }, "training started");
  const timeLimitMs = await runner.timeLimitMs(job.app);
  const now = (): number => clock.now();
  using running = new JobRun({ jobs, jobId: job.id, holder, signal: runner.signal, now, timeLimitMs });
  try {
    await running.beat();
    running.signal.throwIfAborted();
    await run(job, running.signal, running.progress);
    logger.info({ job: job.id, app: job.app }, "training finished");
  } catch (error) {
    const broken = running.broken;
    const asOfMs = eventTimeOf(job, clock);
    if (broken?.by === "person") {
      await registry.fail(job, `${broken.who} cancelled it: ${broken.why}`, asOfMs, "cancelled");
    } else if (broken?.by === "time limit") {
      const limit = formatDuration(timeLimitMs);
      const advice = "allow more, or ask for less: a shorter model.history, a smaller model.search, fewer candidates";
      const why = `It took longer than ${limit} (model.time_limit), and was broken off; ${advice}.`;
      await registry.fail(job, why, asOfMs);
    } else if (broken !== undefined || (error instanceof MillraceError && error.code === "unavailable")) {
      await jobs.putBack(job.id, holder);
      throw new MillraceError("unavailable", `The training of ${job.app} waits: ${describeError(error)}`, {
        cause: error,
      });
    } else {
      logger.error({ err: error, job: job.id, app: job.app }, `training failed: ${describeError(error)}`);
      await registry.fail(job, sentence(error), asOfMs);
    }
  }
}

const eventTimeOf = ({ asOf }: TrainingJob, clock: Clock): number =>
  asOf === undefined ? clock.now() : timestampMs(asOf);

/** An error of ours says what to do; any other is a bug, whose text may be all there is. */
function sentence(error: unknown): string {
  return error instanceof MillraceError ? error.message : `The training broke off: ${describeError(error)}`;
}
