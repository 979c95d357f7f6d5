import type { Outbox } from "@millrace/outbox";
import { MillraceError } from "@millrace/runtime";
import { alertEntry, alertMessage } from "./alertMessage.ts";
import { AppWatch, emptyMemory, type SeenOutcome, type SeenPrediction } from "./appWatch.ts";
import type { Models } from "./models.ts";
import type { MonitoringRules } from "./monitoringRules.ts";
import type { PeopleStore } from "./peopleStore.ts";
import { RecentIds } from "./recentIds.ts";
import { SequenceSet } from "./sequenceSet.ts";
import type { MonitorStore } from "./store.ts";

export interface PredictionBatch {
  readonly app: string;
  /** The message's place in PREDICTIONS. */
  readonly sequence: number;
  readonly predictions: readonly SeenPrediction[];
  readonly watermarkMs: number;
}

export interface OutcomeBatch {
  readonly app: string;
  readonly id: string;
  readonly outcomes: readonly SeenOutcome[];
  readonly watermarkMs: number;
}

export interface WatcherOptions {
  readonly store: MonitorStore;
  readonly people: PeopleStore;
  readonly models: Models;
  readonly outbox: Outbox;
}

/**
 * Keeps every app's windows: in memory to count, in the store to last. One batch at a time; each call resolves once what it counted
 * is stored and its alerts are published. A batch that could not be stored is forgotten in memory, too, and comes again.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #rules = new Map<string, MonitoringRules>();
  readonly #watches = new Map<string, AppWatch>();
  #counted = new SequenceSet();
  /** Predictions that are asked again in other company come in another message. */
  #recent = new RecentIds();
  #last: Promise<void> = Promise.resolve();
  #stale = true;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  knows(app: string): boolean {
    return this.#rules.has(app);
  }

  /** Names of the apps that are watched. */
  get apps(): Iterable<string> {
    return this.#rules.keys();
  }

  rules(app: string): MonitoringRules | undefined {
    return this.#rules.get(app);
  }

  /** What is remembered of an app; undefined before its first prediction. */
  memory(app: string): AppWatch["memory"] | undefined {
    return this.#watches.get(app)?.memory;
  }

  /** Adopts an app, or its new version. */
  adopt(rules: MonitoringRules): Promise<void> {
    return this.#exclusively(async () => {
      this.#rules.set(rules.app, rules);
      // Another window length begins with empty windows in memory; those of the old length stay in the store.
      this.#stale = true;
      await this.#reload();
    });
  }

  countPredictions(batches: readonly PredictionBatch[]): Promise<void> {
    return this.#exclusively(async () => {
      const versions = batches.flatMap(({ predictions }) => predictions.map(({ version }) => version));
      for (const version of new Set(versions)) await this.#options.models.arrival(version);
      const touched = new Map<AppWatch, number>();
      for (const { app, sequence, predictions, watermarkMs } of batches) {
        if (this.#counted.has(sequence)) continue;
        const watch = this.#watch(app);
        for (const prediction of predictions) {
          if (prediction.id !== "" && !this.#recent.add(prediction.id)) continue;
          const brought = this.#bring(watch, prediction.version, prediction.atMs);
          if (brought !== undefined) await brought;
          watch.addPrediction(prediction);
        }
        this.#counted.add(sequence);
        touched.set(watch, Math.max(touched.get(watch) ?? 0, watermarkMs));
      }
      await this.#save(touched, []);
    });
  }

  countOutcomes(batches: readonly OutcomeBatch[]): Promise<void> {
    return this.#exclusively(async () => {
      const known = await this.#options.store.countedBatches(batches.map(({ id }) => id));
      const touched = new Map<AppWatch, number>();
      const counted: string[] = [];
      for (const { app, id, outcomes, watermarkMs } of batches) {
        if (known.has(id)) continue;
        known.add(id);
        counted.push(id);
        const watch = this.#watch(app);
        for (const outcome of outcomes) {
          const brought = this.#bring(watch, outcome.version, outcome.predictedAtMs);
          if (brought !== undefined) await brought;
          watch.addOutcome(outcome);
        }
        touched.set(watch, Math.max(touched.get(watch) ?? 0, watermarkMs));
      }
      await this.#save(touched, counted);
    });
  }

  #watch(app: string): AppWatch {
    const watch = this.#watches.get(app);
    if (watch === undefined) throw new MillraceError("not_found", `There is no app ${JSON.stringify(app)}`);
    return watch;
  }

  /** Makes sure that a window is in memory if it was ever stored. */
  #bring(watch: AppWatch, version: string, atMs: number): Promise<void> | undefined {
    const key = watch.keyOf(version, atMs);
    if (watch.holds(key)) return undefined;
    return this.#options.store
      .window(key, key.fromMs + watch.rules.windowMs)
      .then((stored) => watch.restore(key, stored?.sums));
  }

  async #save(touched: ReadonlyMap<AppWatch, number>, batches: readonly string[]): Promise<void> {
    const { store, people, models, outbox } = this.#options;
    if (touched.size === 0) return;
    const changed = [];
    const windows = [];
    const memories = new Map<string, AppWatch["memory"]>();
    for (const [watch, watermarkMs] of touched) {
      const { app } = watch.rules;
      changed.push(...watch.advance(watermarkMs, models.champion(app)).map((change) => alertMessage(app, change)));
      windows.push(...watch.takeChanged());
      memories.set(app, watch.memory);
    }
    const alerts = await people.annotated(changed);
    const entries = alerts.map(alertEntry);
    const windowMs = (app: string): number => this.#rules.get(app)?.windowMs ?? 0;
    await store.save({ windows, windowMs, memories, alerts, outbox: entries, counted: this.#counted, batches });
    for (const watch of touched.keys()) watch.forgetOld();
    await outbox.publish(entries);
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    const mine = this.#last.then(async () => {
      try {
        await this.#reload();
        await work();
      } catch (error) {
        this.#stale = true;
        throw error;
      }
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** Reads the state from the store when the one in memory may be ahead of it. */
  async #reload(): Promise<void> {
    if (!this.#stale) return;
    const { store, models } = this.#options;
    this.#counted = await store.counted("PREDICTIONS");
    this.#recent = new RecentIds();
    const memories = await store.memories();
    this.#watches.clear();
    for (const [app, rules] of this.#rules) {
      const memory = { ...emptyMemory(), ...memories.get(app) };
      const watch = new AppWatch(rules, memory, models.get);
      const fromMs = Math.min(memory.truthJudgedMs, memory.inputsJudgedMs, ...memory.pooledTruth);
      for (const { key, toMs, sums } of await store.windowsSince(app, fromMs)) {
        if (toMs - key.fromMs === rules.windowMs) watch.restore(key, sums);
      }
      this.#watches.set(app, watch);
    }
    this.#stale = false;
  }
}
