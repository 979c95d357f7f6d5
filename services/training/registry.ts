import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { traceparentOf } from "@millrace/bus";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import {
  type Deployment,
  type ModelEvent,
  ModelEventSchema,
  ModelState,
  type ModelVersion,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type Clock, MillraceError } from "@millrace/runtime";
import type { Outbox } from "./outbox.ts";
import { inState, nameOf, promote, rollBack, type Switch } from "./promotion.ts";
import type { Change, RegistryTransaction, TrainingStore } from "./store.ts";

/** A trained and judged model, not yet numbered. */
export interface Registration {
  readonly job: TrainingJob;
  readonly version: ModelVersion;
  /** Of its gates; `unjudged` where there was nothing to judge it by, and then a person decides. */
  readonly outcome: "accepted" | "rejected" | "unjudged";
  /** Who made it; default: the job. */
  readonly who?: string;
  /** The champion it was compared with. */
  readonly comparedWith: number | undefined;
  readonly asOfMs: number;
}

const OUTCOMES: Readonly<Record<Registration["outcome"], string>> = {
  accepted: "promoted",
  rejected: "rejected",
  unjudged: "not judged",
};

/** Which models exist and which one serves. Each call is one transaction, published through the outbox. */
export class Registry {
  readonly #store: TrainingStore;
  readonly #outbox: Outbox;
  readonly #clock: Clock;

  constructor(store: TrainingStore, outbox: Outbox, clock: Clock) {
    this.#store = store;
    this.#outbox = outbox;
    this.#clock = clock;
  }

  /**
   * Registers a job's model and, when its gates accepted it, makes it the champion; the job is finished with it. A job that is
   * finished already registers nothing.
   *
   * @throws `unavailable` when another champion was made meanwhile: judge again.
   */
  async register({ job, version, outcome, who = `job ${job.id}`, comparedWith, asOfMs }: Registration): Promise<void> {
    const traceparent = traceparentOf();
    await this.#store.transaction(job.app, async (changes) => {
      if ((await changes.jobState(job.id)) !== "running") return;
      const current = await changes.deployment(job.app);
      if (current?.champion?.number !== comparedWith) {
        throw new MillraceError("unavailable", `The champion of ${job.app} changed while its challenger was judged`);
      }
      const change = { who, why: version.verdict.join(" "), eventTimeMs: asOfMs, nowMs: this.#clock.now() };
      version.number = await changes.nextNumber(job.app);
      version.state = outcome === "rejected" ? ModelState.REJECTED : ModelState.CANDIDATE;
      await changes.insertModel(version, change);
      const send = (what: string, model: ModelVersion): Promise<void> =>
        changes.sendEvent(jobEvent(job, what, change.why, asOfMs, model), traceparent);
      await send("candidate", version);
      if (outcome === "accepted") {
        const next = promote(current, version, { sinceMs: asOfMs, reason: change.why });
        await apply(changes, next, change, traceparent);
        await send("promoted", inState(version, ModelState.CHAMPION));
      } else if (outcome === "rejected") {
        await send("rejected", version);
      }
      await changes.endJob(job.id, "finished", `${nameOf(version)} ${OUTCOMES[outcome]}`, change.nowMs);
    });
    await this.#outbox.flush();
  }

  /** Ends a job that made no model. */
  async fail(job: TrainingJob, reason: string, asOfMs: number): Promise<void> {
    const traceparent = traceparentOf();
    await this.#store.transaction(job.app, async (changes) => {
      const state = await changes.jobState(job.id);
      if (state === "finished" || state === "failed") return;
      await changes.endJob(job.id, "failed", reason, this.#clock.now());
      await changes.sendEvent(jobEvent(job, "failed", reason, asOfMs), traceparent);
    });
    await this.#outbox.flush();
  }

  /** @throws `not_found`, `failed_precondition` (see `promote`). */
  promote(app: string, number: number, why: string, who: string): Promise<Deployment> {
    return this.#switch(app, who, why, "promoted", async (changes, current, reason) => {
      const version = await changes.model(app, number);
      if (version === undefined) throw noSuchModel(app, number);
      return promote(current, version, reason);
    });
  }

  /** @throws `failed_precondition` when there is no champion before. */
  rollBack(app: string, why: string, who: string): Promise<Deployment> {
    return this.#switch(app, who, why, "rolled_back", (_, current, reason) =>
      Promise.resolve(rollBack(current, app, reason)),
    );
  }

  async #switch(
    app: string,
    who: string,
    why: string,
    what: string,
    decide: (
      changes: RegistryTransaction,
      current: Deployment | undefined,
      reason: { sinceMs: number; reason: string },
    ) => Promise<Switch>,
  ): Promise<Deployment> {
    const traceparent = traceparentOf();
    const nowMs = this.#clock.now();
    // Event time, when there is any: a replayed past is not the wall clock's.
    const eventTimeMs = (await this.#store.latestEventTimeMs(app)) ?? nowMs;
    const deployment = await this.#store.transaction(app, async (changes) => {
      const next = await decide(changes, await changes.deployment(app), { sinceMs: eventTimeMs, reason: why });
      await apply(changes, next, { who, why, eventTimeMs, nowMs }, traceparent);
      const model = next.deployment.champion as ModelVersion;
      const occurredAt = timestampFromMs(eventTimeMs);
      const id = `${nameOf(model)}/${what}/${nowMs}`;
      await changes.sendEvent(create(ModelEventSchema, { id, app, what, model, reason: why, occurredAt }), traceparent);
      return next.deployment;
    });
    // It is durable; if the bus is away, the outbox goes on trying.
    await this.#outbox.flush().catch(() => undefined);
    return deployment;
  }
}

async function apply(
  changes: RegistryTransaction,
  { deployment, changed }: Switch,
  change: Change,
  traceparent: string,
): Promise<void> {
  for (const version of changed) await changes.setState(version, change);
  await changes.setDeployment(deployment, traceparent);
}

/** Its id follows from the job, so that a job that is done again tells the same events. */
function jobEvent(job: TrainingJob, what: string, reason: string, asOfMs: number, model?: ModelVersion): ModelEvent {
  return create(ModelEventSchema, {
    id: `${job.id}/${what}`,
    app: job.app,
    what,
    reason,
    jobId: job.id,
    occurredAt: timestampFromMs(asOfMs),
    ...(model === undefined ? {} : { model }),
  });
}

export const noSuchModel = (app: string, number: number): MillraceError =>
  new MillraceError(
    "not_found",
    `There is no model ${app}/${number}; list the models of ${app} to see which there are`,
  );
