import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus, JsMsg, Outcome, RunningConsumer } from "@millrace/bus";
import { contextOf, decode, done, reject, within } from "@millrace/bus";
import { type TrainingJob, TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import type { Outbox } from "./outbox.ts";
import type { Registry } from "./registry.ts";
import type { TrainingStore } from "./store.ts";

/** A job that stopped the process this often is not tried again. */
const MAX_STARTS = 2;

export interface JobConsumerOptions {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly registry: Registry;
  readonly outbox: Outbox;
  /** Trains, judges and registers. */
  readonly run: (job: TrainingJob, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

/** Takes training jobs, one at a time, and acknowledges each once its result is durable and published. */
export function consumeJobs(options: JobConsumerOptions): Promise<RunningConsumer> {
  const begun = new Set<string>();
  return options.bus.consume({
    stream: "TRAINING",
    durable: "training-all",
    filter: "training.jobs.>",
    maxBatch: 1,
    onFailure: options.onFailure,
    handle: ([message]) => handle(options, begun, message as JsMsg),
  });
}

async function handle(options: JobConsumerOptions, begun: Set<string>, message: JsMsg): Promise<Outcome> {
  let job: TrainingJob;
  try {
    job = decode(TrainingJobSchema, message.data);
  } catch (error) {
    return reject(describeError(error));
  }
  if (job.id === "" || job.app === "") return reject("a training job needs an id and an app");
  await within(contextOf(message.headers?.get("traceparent")), () => perform(options, begun, job));
  return done();
}

/** @param begun jobs that this process began: what it could not finish for lack of a neighbour did not crash it */
async function perform(options: JobConsumerOptions, begun: Set<string>, job: TrainingJob): Promise<void> {
  const { store, registry, outbox, run, clock, logger, signal } = options;
  const claim = await store.claim(job);
  if (claim.state === "finished" || claim.state === "failed") return outbox.flush();
  const asOfMs = job.asOf === undefined ? clock.now() : timestampMs(job.asOf);
  if (claim.starts >= MAX_STARTS && !begun.has(job.id)) {
    return registry.fail(job, `The training stopped the process ${claim.starts} times; it is not tried again.`, asOfMs);
  }
  begun.add(job.id);
  await store.start(job.id, clock.now());
  logger.info({ job: job.id, app: job.app, trigger: job.trigger }, "training started");
  try {
    await run(job, signal);
    logger.info({ job: job.id, app: job.app }, "training finished");
  } catch (error) {
    if (signal.aborted || (error instanceof MillraceError && error.code === "unavailable")) {
      await store.putBack(job.id);
      throw new MillraceError("unavailable", `The training of ${job.app} waits: ${describeError(error)}`, {
        cause: error,
      });
    }
    logger.error({ err: error, job: job.id, app: job.app }, `training failed: ${describeError(error)}`);
    await registry.fail(job, sentence(error), asOfMs);
  }
  begun.delete(job.id);
}

/** An error of ours says what to do; any other is a bug, whose text may be all there is. */
function sentence(error: unknown): string {
  return error instanceof MillraceError ? error.message : `The training broke off: ${describeError(error)}`;
}
