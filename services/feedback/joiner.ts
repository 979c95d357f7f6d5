import type { Outbox } from "@millrace/outbox";
import type { FollowedApp } from "./apps.ts";
import { type Label, newestPerKey } from "./labelRule.ts";
import { countOutcomes } from "./metrics.ts";
import type { PredictionRow } from "./predictionRow.ts";
import type { Retraining } from "./retraining.ts";
import type { OutcomeStore, Stored } from "./store.ts";

export interface JoinerOptions {
  readonly app: (name: string) => FollowedApp | undefined;
  readonly store: OutcomeStore;
  readonly outbox: Outbox;
  readonly retraining: Retraining;
}

/** Old labels are pruned every time the watermark has moved by this share of the wait. */
const PRUNE_SHARE = 0.25;

/**
 * Brings predictions and their truth together. Each call resolves once the batch is stored and its outcomes are published, so
 * its messages may be acknowledged; called again with the same batch, it changes nothing.
 */
export class Joiner {
  readonly #options: JoinerOptions;
  readonly #prunedAtMs = new Map<string, number>();

  constructor(options: JoinerOptions) {
    this.#options = options;
  }

  knows(app: string): boolean {
    return this.#options.app(app) !== undefined;
  }

  async addPredictions(name: string, rows: readonly PredictionRow[], watermarkMs: number): Promise<void> {
    const app = this.#options.app(name);
    if (app === undefined) return;
    const scope = { app: name, waitMs: app.label.waitMs };
    await this.#afterwards(app, await this.#options.store.storePredictions(scope, rows, watermarkMs));
  }

  async addLabels(name: string, labels: readonly Label[], watermarkMs: number): Promise<void> {
    const app = this.#options.app(name);
    if (app === undefined || labels.length === 0) return;
    const scope = { app: name, waitMs: app.label.waitMs };
    await this.#afterwards(app, await this.#options.store.storeLabels(scope, newestPerKey(labels), watermarkMs));
  }

  async #afterwards(app: FollowedApp, { outcomes, entries, watermarkMs }: Stored): Promise<void> {
    const { outbox, retraining, store } = this.#options;
    await outbox.publish(entries);
    countOutcomes(app.name, outcomes.length);
    const { waitMs } = app.label;
    if (watermarkMs - (this.#prunedAtMs.get(app.name) ?? 0) > waitMs * PRUNE_SHARE) {
      await store.pruneLabels(app.name, watermarkMs - waitMs);
      this.#prunedAtMs.set(app.name, watermarkMs);
    }
    await retraining.onProgress(app, watermarkMs);
  }
}
