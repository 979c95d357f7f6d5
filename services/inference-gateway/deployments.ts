import { setTimeout as delay } from "node:timers/promises";
import { type Bus, decode, KeyValueWatch } from "@millrace/bus";
import { type Deployment, DeploymentSchema, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, type Logger, MillraceError } from "@millrace/runtime";
import { baselineOf } from "./answer.ts";
import type { BatcherOptions } from "./batcher.ts";
import type { ModelLoader } from "./modelLoader.ts";
import { type ServedModel, type Serving, type Share, versionOf } from "./servedModel.ts";

export interface DeploymentsOptions {
  readonly bus: Bus;
  readonly loader: ModelLoader;
  /** Where shadows run, apart from all others. Asked for with the first of them. */
  readonly shadowLoader: () => Promise<ModelLoader>;
  readonly logger: Logger;
  /** How an app wants its requests batched. */
  readonly batching: (app: string) => BatcherOptions;
  /** Why the app cannot use the model, or undefined when it can. */
  readonly misfit: (app: string, model: ModelVersion) => string | undefined;
  readonly onFailure: (error: unknown) => void;
  /** A version has begun to answer, or has been unloaded. */
  readonly onServing: (version: string, serving: boolean) => void;
}

const RETRY_MS = 200;
const MAX_RETRY_MS = 1_000;

/** A version in memory, and who takes it out again. */
interface Loaded {
  readonly served: ServedModel;
  readonly loader: ModelLoader;
}

/** A shadow is loaded apart, also when the same version answers, too. */
type Place = "serving" | "shadow";

/**
 * Follows the bucket `deployments`: which versions answer for each app. A new one takes over once it has proven itself, with
 * the old one serving until then and answering what it had begun; one that cannot is logged, and what served goes on.
 */
export class Deployments implements AsyncDisposable {
  readonly #options: DeploymentsOptions;
  readonly #serving = new Map<string, Serving>();
  readonly #loaded = new Map<string, Loaded>();
  readonly #newest = new Map<string, Deployment | undefined>();
  /** One adoption at a time for each app. */
  readonly #adopting = new Map<string, Promise<void>>();
  readonly #firstTries: Promise<void>[] = [];
  readonly #stopping = new AbortController();
  #watch: KeyValueWatch | undefined;

  private constructor(options: DeploymentsOptions) {
    this.#options = options;
  }

  /** Resolves once everything deployed so far serves, or its first try has failed. */
  static async start(options: DeploymentsOptions): Promise<Deployments> {
    const deployments = new Deployments(options);
    deployments.#watch = await KeyValueWatch.start(await options.bus.keyValue("deployments"), {
      logger: options.logger,
      onFailure: options.onFailure,
      onEntry: (entry) => {
        const deployment = entry.operation === "PUT" ? decode(DeploymentSchema, entry.value) : undefined;
        deployments.#adoptSoon(entry.key, deployment);
      },
    });
    await Promise.all(deployments.#firstTries);
    deployments.#firstTries.length = 0;
    return deployments;
  }

  /** Who answers for an app now; undefined before its first model. */
  serving(app: string): Serving | undefined {
    return this.#serving.get(app);
  }

  /** Every app that has a model. */
  get all(): Iterable<[string, Serving]> {
    return this.#serving;
  }

  /** The app's settings have changed. */
  reconfigure(app: string): void {
    const batch = this.#options.batching(app);
    for (const { served } of this.#loaded.values()) if (served.model.app === app) served.lane.configure(batch);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#watch?.[Symbol.asyncDispose]();
    await Promise.all(this.#adopting.values());
    for (const { served } of this.#loaded.values()) served.lane[Symbol.dispose]();
  }

  #adoptSoon(app: string, deployment: Deployment | undefined): void {
    this.#newest.set(app, deployment);
    const before = this.#adopting.get(app) ?? Promise.resolve();
    const tried = Promise.withResolvers<void>();
    this.#adopting.set(
      app,
      before.then(() => this.#adoptUntilSettled(app, deployment, tried.resolve)).finally(tried.resolve),
    );
    if (this.#watch === undefined) this.#firstTries.push(tried.promise);
  }

  /** Tries again while the store does not answer, as long as nothing newer is deployed. */
  async #adoptUntilSettled(app: string, deployment: Deployment | undefined, onTried: () => void): Promise<void> {
    const { logger } = this.#options;
    for (let waitMs = RETRY_MS; !this.#stopping.signal.aborted; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
      if (this.#newest.get(app) !== deployment) return;
      let again: boolean;
      try {
        again = !(await this.#adopt(app, deployment));
      } catch (error) {
        const version = deployment?.champion === undefined ? app : versionOf(deployment.champion);
        again = isAway(error);
        const goesOn = await this.#goOnWithout(app, deployment, `${version} is not adopted: ${describeError(error)}`);
        const text = `${version} is not adopted: ${describeError(error)}; ${goesOn}${again ? "; trying again" : ""}`;
        logger.error({ err: error, app, version }, text);
      }
      onTried();
      if (!again) return;
      await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  /** False when a canary or a shadow is to be tried again. @throws when the champion cannot be had. */
  async #adopt(app: string, deployment: Deployment | undefined): Promise<boolean> {
    if (deployment?.champion === undefined) {
      this.#serving.delete(app);
      this.#unloadUnused(app);
      return true;
    }
    const baseline = baselineOf(deployment.champion);
    const champion = await this.#load(app, deployment.champion);
    const previous = deployment.previous && (await this.#loadPrevious(app, deployment.previous));
    const serve = (): void => {
      const canary = this.#share("serving", deployment.canary);
      const shadow = this.#share("shadow", deployment.shadow);
      this.#serving.set(app, { champion, problem: "", previous, baseline, canary, shadow });
    };
    // Before the versions beside it are loaded: they must not hold it up.
    serve();
    this.#options.onServing(champion.version, true);
    this.#options.logger.info(
      { app, champion: champion.version, previous: previous?.version, reason: deployment.reason },
      `${champion.version} serves ${app}`,
    );
    const complete = [
      await this.#loadBeside(app, "serving", deployment.canary),
      await this.#loadBeside(app, "shadow", deployment.shadow),
    ];
    serve();
    this.#unloadUnused(app);
    return complete.every(Boolean);
  }

  /** A canary or a shadow that cannot be had costs nobody anything. False when it may be had later. */
  async #loadBeside(app: string, place: Place, beside: Beside | undefined): Promise<boolean> {
    if (beside?.model === undefined || this.#loaded.has(keyOf(place, beside.model))) return true;
    const { logger } = this.#options;
    const version = versionOf(beside.model);
    const what = place === "shadow" ? "shadow" : "canary";
    try {
      await this.#load(app, beside.model, place);
      if (place === "serving") this.#options.onServing(version, true);
      logger.info({ app, version, percent: beside.percent }, `${version} is the ${what} of ${app}`);
      return true;
    } catch (error) {
      const again = isAway(error);
      const text = `the ${what} ${version} is not adopted: ${describeError(error)}${again ? "; trying again" : ""}`;
      logger.error({ err: error, app, version }, text);
      return !again;
    }
  }

  #share(place: Place, beside: Beside | undefined): Share | undefined {
    const model = beside?.model && this.#loaded.get(keyOf(place, beside.model))?.served;
    return model && { model, percent: beside.percent ?? 100 };
  }

  /** The champion cannot be had: what served goes on, and where nothing did, the version before it answers as a fallback. */
  async #goOnWithout(app: string, deployment: Deployment | undefined, problem: string): Promise<string> {
    const current = this.#serving.get(app);
    if (current?.champion !== undefined) return `${current.champion.version} goes on serving`;
    const previous = deployment?.previous && (await this.#loadPrevious(app, deployment.previous));
    if (deployment?.champion !== undefined) {
      this.#serving.set(app, {
        champion: undefined,
        problem,
        previous,
        baseline: baselineOf(deployment.champion),
        canary: undefined,
        shadow: undefined,
      });
    }
    return previous === undefined ? "no model serves" : `${previous.version} answers as a fallback`;
  }

  async #load(app: string, model: ModelVersion, place: Place = "serving"): Promise<ServedModel> {
    const misfit = this.#options.misfit(app, model);
    if (misfit !== undefined) throw new MillraceError("failed_precondition", misfit);
    const key = keyOf(place, model);
    const known = this.#loaded.get(key);
    if (known !== undefined) return known.served;
    const loader = place === "shadow" ? await this.#options.shadowLoader() : this.#options.loader;
    const served = await loader.load(model, this.#options.batching(app));
    this.#loaded.set(key, { served, loader });
    return served;
  }

  /** A previous version that cannot be had costs its step of the chain, not the deployment. */
  async #loadPrevious(app: string, model: ModelVersion): Promise<ServedModel | undefined> {
    try {
      return await this.#load(app, model);
    } catch (error) {
      const version = versionOf(model);
      this.#options.logger.warn(
        { err: error, app, version },
        `the previous version ${version} cannot be a fallback: ${describeError(error)}`,
      );
      return undefined;
    }
  }

  #unloadUnused(app: string): void {
    const { champion, previous, canary, shadow } = this.#serving.get(app) ?? {};
    const used = new Set([champion, previous, canary?.model, shadow?.model]);
    for (const [key, { served, loader }] of this.#loaded) {
      if (served.model.app !== app || used.has(served)) continue;
      this.#loaded.delete(key);
      if (!this.#answers(served.version)) this.#options.onServing(served.version, false);
      loader.unload(served).catch((error: unknown) => {
        this.#options.logger.warn({ err: error }, `${served.version} could not be unloaded: ${describeError(error)}`);
      });
    }
  }

  /** Whether a version is loaded elsewhere: it may be a shadow that became the champion. */
  #answers(version: string): boolean {
    return [...this.#loaded.values()].some(({ served }) => served.version === version);
  }
}

type Beside = { readonly model?: ModelVersion; readonly percent?: number };

const keyOf = (place: Place, model: ModelVersion): string => `${place} ${versionOf(model)} ${model.artefact}`;

const isAway = (error: unknown): boolean => error instanceof MillraceError && error.code === "unavailable";
