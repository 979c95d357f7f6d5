import { clone, create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { traceparentOf } from "@millrace/bus";
import { type Promotion, PromotionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import {
  type Deployment,
  type ModelEvent,
  ModelEventSchema,
  ModelState,
  type ModelVersion,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type Clock, MillraceError } from "@millrace/runtime";
import type { JobEnd } from "./jobStore.ts";
import type { Outbox } from "./outbox.ts";
import { inState, nameOf, promote, rollBack } from "./promotion.ts";
import type { Change, RegistryTransaction } from "./registryTransaction.ts";
import type { TrainingStore } from "./store.ts";
import { Trials } from "./trials.ts";

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

/** Which version, who wants it changed, and why. */
export interface Wish {
  readonly app: string;
  readonly number: number;
  readonly who: string;
  readonly why: string;
}

export interface RegistryOptions {
  readonly store: TrainingStore;
  readonly outbox: Outbox;
  readonly clock: Clock;
  /** The app's `model.promotion`. */
  readonly promotionOf: (app: string) => Promise<Promotion | undefined>;
  /** Kept with every version. */
  readonly codeVersion: string;
}

const OUT_OF_THE_RUNNING: ReadonlySet<ModelState> = new Set([
  ModelState.RETIRED,
  ModelState.REJECTED,
  ModelState.DELETED,
]);

/** Which models exist and which one serves. Each call is one transaction, published through the outbox. */
export class Registry {
  readonly #options: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /**
   * Registers a job's model; the job is finished with it. When its gates accepted it, it becomes the champion, or begins its way there by the
   * app's promotion policy. A job that is finished already registers nothing.
   *
   * @throws `unavailable` when another champion was made meanwhile: judge again.
   */
  async register({ job, version, outcome, who = `job ${job.id}`, comparedWith, asOfMs }: Registration): Promise<void> {
    const { store, outbox, clock, codeVersion, promotionOf } = this.#options;
    const promotion = outcome === "accepted" ? await promotionOf(job.app) : undefined;
    const traceparent = traceparentOf();
    await store.transaction(job.app, async (changes) => {
      if ((await changes.jobState(job.id)) !== "running") return;
      const current = await changes.deployment(job.app);
      if (current?.champion?.number !== comparedWith) {
        throw new MillraceError("unavailable", `The champion of ${job.app} changed while its challenger was judged`);
      }
      const change = { who, why: version.verdict.join(" "), eventTimeMs: asOfMs, nowMs: clock.now() };
      version.number = await changes.nextNumber(job.app);
      version.state = outcome === "rejected" ? ModelState.REJECTED : ModelState.CANDIDATE;
      version.parent = comparedWith ?? 0;
      version.codeVersion = codeVersion;
      version.registeredAt = timestampFromMs(change.nowMs);
      await changes.insertModel(version, change);
      const trials = new Trials(changes, change, traceparent);
      const send = (what: string, model: ModelVersion): Promise<void> =>
        changes.sendEvent(jobEvent(job, what, change.why, asOfMs, model), traceparent);
      await send("candidate", version);
      let ending = outcome === "rejected" ? "rejected" : "not judged";
      if (outcome === "rejected") await send("rejected", version);
      if (outcome === "accepted") {
        // What could not be asked cannot be compared with either.
        const comparable = comparedWith !== undefined && Object.keys(version.championMetrics).length > 0;
        if (comparable && Trials.hasSteps(promotion)) {
          ending = "accepted";
          await send("accepted", version);
          await trials.begin(version, comparedWith, promotion);
        } else {
          ending = "promoted";
          await trials.apply(promote(current, version, { sinceMs: asOfMs, reason: change.why }));
          await send("promoted", inState(version, ModelState.CHAMPION));
          await trials.afterSwitch(inState(version, ModelState.CHAMPION), policyBytes(promotion));
        }
        await changes.sendDeployment(job.app, traceparent);
      }
      await changes.endJob(job.id, "finished", `${nameOf(version)} ${ending}`, change.nowMs);
    });
    await outbox.flush();
  }

  /** Ends a job that made no model. */
  async fail(job: TrainingJob, reason: string, asOfMs: number, end: JobEnd = "failed"): Promise<void> {
    const { store, outbox, clock } = this.#options;
    const traceparent = traceparentOf();
    await store.transaction(job.app, async (changes) => {
      const state = await changes.jobState(job.id);
      if (state !== "waiting" && state !== "running") return;
      await changes.endJob(job.id, end, reason, clock.now());
      await changes.sendEvent(jobEvent(job, "failed", reason, asOfMs), traceparent);
    });
    await outbox.flush();
  }

  /**
   * Makes a version the champion, at once or (`byPolicy`) by the steps of the app's policy. Nothing changes when it is the champion.
   *
   * @throws `not_found`, `failed_precondition` (see `promote`)
   */
  async promote(wish: Wish, { byPolicy = false, withoutProbation = false } = {}): Promise<Deployment> {
    const known = await this.#promotionFor(wish.app, byPolicy);
    const promotion = known && clone(PromotionSchema, known);
    if (withoutProbation) delete promotion?.probation;
    return this.#change(wish, async ({ changes, change, trials }, version) => {
      const current = await changes.deployment(wish.app);
      if (current?.champion?.number === version.number) return;
      const next = promote(current, version, { sinceMs: change.eventTimeMs, reason: wish.why });
      if (byPolicy && current?.champion !== undefined && Trials.hasSteps(promotion)) {
        await trials.begin(version, current.champion.number, promotion);
        return;
      }
      await trials.apply(next);
      const champion = inState(version, ModelState.CHAMPION);
      await trials.send("promoted", champion, wish.why);
      await trials.afterSwitch(champion, policyBytes(promotion));
    }).then(({ deployment }) => deployment as Deployment);
  }

  /**
   * Makes the champion before serve again. With a number that no longer serves nothing changes.
   *
   * @throws `failed_precondition` when there is no champion before
   */
  async rollBack({ app, number, who, why }: Wish): Promise<Deployment> {
    const { deployment } = await this.#transaction(app, who, why, async ({ changes, change, trials }) => {
      const current = await changes.deployment(app);
      if (number !== 0 && current?.champion !== undefined && current.champion.number !== number) return;
      const next = rollBack(current, app, { sinceMs: change.eventTimeMs, reason: why });
      await trials.apply(next);
      const champion = next.deployment.champion as ModelVersion;
      await trials.send("rolled_back", champion, why, { rolledBack: current?.champion?.number ?? 0, figures: {} });
      await trials.afterSwitch(champion);
    });
    return deployment as Deployment;
  }

  /**
   * Lets a version that is on its way take its next step, or ends a champion's probation; nothing changes when it has left `from`.
   *
   * @throws `failed_precondition`
   */
  async advance(wish: Wish, from: ModelState): Promise<ModelVersion> {
    const { version } = await this.#change(wish, async ({ trials }, known) => {
      const settled = known.state === ModelState.CHAMPION && !(await trials.isOnProbation(known));
      if (!settled || from === ModelState.UNSPECIFIED) await trials.advance(known, from);
    });
    return version;
  }

  /** Takes a version out of the running. @throws `failed_precondition` for the champion */
  async retire(wish: Wish): Promise<ModelVersion> {
    const { version } = await this.#change(wish, async ({ changes, change, trials }, known) => {
      if (known.state === ModelState.CHAMPION) {
        throw new MillraceError("failed_precondition", `${nameOf(known)} serves; promote another or roll back first`);
      }
      // What was rejected must not become promotable by this.
      if (OUT_OF_THE_RUNNING.has(known.state)) return;
      const retired = inState(known, ModelState.RETIRED);
      await changes.setState(retired, change);
      await trials.send("retired", retired, wish.why);
      await trials.stop(known);
    });
    return version;
  }

  /** Deletes a version's files; its record stays. @throws `failed_precondition` for what serves or may have to, and while a job runs */
  async delete(wish: Wish): Promise<ModelVersion> {
    const { version } = await this.#change(wish, async ({ changes, change, trials }, known) => {
      if (known.state === ModelState.DELETED) return;
      const refuse = (why: string): MillraceError =>
        new MillraceError("failed_precondition", `${nameOf(known)} ${why}`);
      const current = await changes.deployment(wish.app);
      if (current?.champion?.number === known.number) throw refuse("serves; promote another first");
      if (current?.previous?.number === known.number)
        throw refuse(
          "is the champion before, which answers where the champion cannot; it can go after the next promotion",
        );
      for (const queued of [false, true]) {
        const trial = await changes.trial(wish.app, queued);
        if (trial?.number === known.number) throw refuse("is on its way to champion; retire it first");
      }
      const job = await changes.openJob(wish.app);
      // It may be about to register the very same file.
      if (job !== undefined)
        throw refuse(`cannot be deleted while the job ${job} of the app is open; try again when it has ended`);
      const deleted = inState(known, ModelState.DELETED);
      for (const file of await changes.filesOnlyOf(known)) await changes.sendDeletion(wish.app, file);
      await changes.forgetUpload(known.jobId);
      await changes.setState(deleted, change);
      await trials.send("deleted", deleted, wish.why);
    });
    return version;
  }

  /** Looks at the evidence of an app's trial, and takes the step that follows from it. */
  async lookAtTrial(app: string): Promise<void> {
    await this.#transaction(app, "promotion policy", "", ({ trials }) => trials.look(app));
  }

  /** The app's policy; of an app that is no more there is none, and a person may still promote. */
  async #promotionFor(app: string, needed: boolean): Promise<Promotion | undefined> {
    try {
      return await this.#options.promotionOf(app);
    } catch (error) {
      const gone =
        error instanceof MillraceError && (error.code === "not_found" || error.code === "failed_precondition");
      if (needed || !gone) throw error;
      return undefined;
    }
  }

  async #change(
    { app, number, who, why }: Wish,
    work: (step: Step, version: ModelVersion) => Promise<void>,
  ): Promise<{ deployment: Deployment | undefined; version: ModelVersion }> {
    const { deployment, result } = await this.#transaction(app, who, why, async (step) => {
      const version = await step.changes.model(app, number);
      if (version === undefined) throw noSuchModel(app, number);
      await work(step, version);
      return (await step.changes.model(app, number)) as ModelVersion;
    });
    return { deployment, version: result };
  }

  async #transaction<Result>(
    app: string,
    who: string,
    why: string,
    work: (step: Step) => Promise<Result>,
  ): Promise<{ deployment: Deployment | undefined; result: Result }> {
    const { store, outbox, clock } = this.#options;
    const traceparent = traceparentOf();
    const nowMs = clock.now();
    // Event time, when there is any: a replayed past is not the wall clock's.
    const eventTimeMs = (await store.latestEventTimeMs(app)) ?? nowMs;
    const change = { who, why, eventTimeMs, nowMs };
    const done = await store.transaction(app, async (changes) => {
      const result = await work({ changes, change, trials: new Trials(changes, change, traceparent) });
      const deployment = changes.changed
        ? await changes.sendDeployment(app, traceparent)
        : await changes.deployment(app);
      return { deployment, result, changed: changes.changed };
    });
    // It is durable; if the bus is away, the outbox goes on trying.
    if (done.changed) await outbox.flush().catch(() => undefined);
    return done;
  }
}

interface Step {
  readonly changes: RegistryTransaction;
  readonly change: Change;
  readonly trials: Trials;
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

const policyBytes = (promotion: Promotion | undefined): Uint8Array | undefined =>
  promotion && toBinary(PromotionSchema, promotion);

export const noSuchModel = (app: string, number: number): MillraceError =>
  new MillraceError(
    "not_found",
    `There is no model ${app}/${number}; list the models of ${app} to see which there are`,
  );
