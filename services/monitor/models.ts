import { setTimeout as delay } from "node:timers/promises";
import { type Bus, decode, KeyValueWatch } from "@millrace/bus";
import { DeploymentSchema, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { Logger } from "@millrace/runtime";
import type { MonitorStore } from "./store.ts";
import { versionOf, type WatchedModel, watchedModel } from "./watchedModel.ts";

/** The gateway may adopt a version a moment before it is known here. */
const WAIT_FOR_VERSION_MS = 3_000;

export interface ModelsOptions {
  readonly logger: Logger;
  readonly onFailure: (error: unknown) => void;
}

/** Every model version that serves or served, and who the champion is. */
export class Models implements AsyncDisposable {
  readonly #store: MonitorStore;
  readonly #known = new Map<string, WatchedModel>();
  readonly #champions = new Map<string, string>();
  /** Versions that did not come in time: asked for once only. */
  readonly #missed = new Set<string>();
  #watch: KeyValueWatch | undefined;

  constructor(store: MonitorStore) {
    this.#store = store;
  }

  /** Resolves once everything deployed so far is known. */
  async follow(bus: Bus, options: ModelsOptions): Promise<void> {
    for (const model of await this.#store.models()) this.#known.set(versionOf(model), watchedModel(model));
    this.#watch = await KeyValueWatch.start(await bus.keyValue("deployments"), {
      ...options,
      onEntry: async ({ key, value, operation }) => {
        const deployment = operation === "PUT" ? decode(DeploymentSchema, value) : undefined;
        for (const model of [deployment?.previous, deployment?.canary?.model, deployment?.champion])
          if (model !== undefined) await this.#learn(model);
        const champion = deployment?.champion;
        if (champion === undefined) this.#champions.delete(key);
        else this.#champions.set(key, versionOf(champion));
      },
    });
  }

  readonly get = (version: string): WatchedModel | undefined => this.#known.get(version);

  /** The version that serves an app; "" for none. */
  champion(app: string): string {
    return this.#champions.get(app) ?? "";
  }

  /** Waits a moment for a version that has just been deployed. One that never comes is counted without a reference. */
  async arrival(version: string): Promise<void> {
    if (version === "" || this.#missed.has(version)) return;
    const deadline = performance.now() + WAIT_FOR_VERSION_MS;
    for (let found = this.#known.has(version); !found; found = this.#known.has(version)) {
      if (performance.now() > deadline) {
        this.#missed.add(version);
        return;
      }
      await delay(20);
    }
  }

  async #learn(model: ModelVersion): Promise<void> {
    const version = versionOf(model);
    if (this.#known.has(version)) return;
    await this.#store.saveModel(model);
    this.#known.set(version, watchedModel(model));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
  }
}
