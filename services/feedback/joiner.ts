import type { Outbox } from "@millrace/outbox";
import type { FollowedApp } from "./apps.ts";
import type { JoinScope, Stored } from "./joinTransaction.ts";
import type { Label } from "./labelRule.ts";
import type { LabelWatch } from "./labelWatch.ts";
import { countLabels, countOutcomes } from "./metrics.ts";
import type { PredictionRow } from "./predictionRow.ts";
import type { Retraining } from "./retraining.ts";
import type { OutcomeStore } from "./store.ts";

export interface JoinerOptions {
  readonly app: (name: string) => FollowedApp | undefined;
  readonly store: OutcomeStore;
  readonly outbox: Outbox;
  readonly retraining: Retraining;
  readonly labelWatch: LabelWatch;
  /** Whether predictions are on the bus that have not come here yet. */
  readonly predictionsPending: () => Promise<boolean>;
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
    await this.#afterwards(app, await this.#options.store.storePredictions(scopeOf(app), rows, watermarkMs));
  }

  async addLabels(name: string, labels: readonly Label[]): Promise<void> {
    const app = this.#options.app(name);
    if (app === undefined || labels.length === 0) return;
    await this.#afterwards(app, await this.#options.store.storeLabels(scopeOf(app), labels));
  }

  async #afterwards(app: FollowedApp, { outcomes, entries, watermarkMs, labels }: Stored): Promise<void> {
    const { outbox, retraining, labelWatch } = this.#options;
    await outbox.publish(entries);
    countOutcomes(app.name, outcomes);
    countLabels(app.name, labels);
    if (watermarkMs - (this.#prunedAtMs.get(app.name) ?? 0) > app.label.window.waitMs * PRUNE_SHARE) {
      await this.#prune(app, watermarkMs);
      this.#prunedAtMs.set(app.name, watermarkMs);
    }
    await labelWatch.onProgress(app, watermarkMs);
    await retraining.onProgress(app, watermarkMs);
  }

  /**
   * Forgets labels that are too old for any prediction still to come. Predictions that wait on the bus, after an outage for instance, may be
   * far behind the labels that were faster.
   */
  async #prune(app: FollowedApp, watermarkMs: number): Promise<void> {
    const { store, predictionsPending } = this.#options;
    const { waitMs, earlyMs } = app.label.window;
    let horizonMs = watermarkMs;
    if (await predictionsPending()) {
      const untilMs = await store.predictedUntil(app.name);
      if (untilMs === undefined) return;
      horizonMs = Math.min(horizonMs, untilMs);
    }
    await store.pruneLabels(app.name, horizonMs - Math.max(waitMs, earlyMs));
  }
}

const scopeOf = ({ name, classes, label, windowMs, review }: FollowedApp): JoinScope => ({
  app: name,
  classes,
  windowMs,
  review,
  ...label.window,
});
