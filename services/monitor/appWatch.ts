import { type AlertChange, NOTHING_YET, nextAlerts, type PolicyMemory } from "./alertPolicy.ts";
import { judgeFallbacks, judgeInputs, judgeTruth, type Measurement } from "./judgement.ts";
import type { MonitoringRules } from "./monitoringRules.ts";
import { addScore, type Scores } from "./outcomeScore.ts";
import { isBinary, NO_MODEL, type WatchedModel } from "./watchedModel.ts";
import { Window, type WindowKey } from "./window.ts";

/** What is kept about an app beside its windows. Plain data: it is stored as JSON. Event times in milliseconds. */
export interface AppMemory {
  watermarkMs: number;
  /** Windows that begin before this have had their inputs judged, and these their truth. */
  inputsJudgedMs: number;
  truthJudgedMs: number;
  /** Begins of windows with too few rows, to be judged together with the next. */
  pooledInputs: readonly number[];
  pooledTruth: readonly number[];
  policy: PolicyMemory;
  predictionsSeen: number;
  outcomesSeen: number;
}

export const emptyMemory = (): AppMemory => ({
  watermarkMs: 0,
  inputsJudgedMs: 0,
  truthJudgedMs: 0,
  pooledInputs: [],
  pooledTruth: [],
  policy: NOTHING_YET,
  predictionsSeen: 0,
  outcomesSeen: 0,
});

export interface SeenPrediction {
  /** By which it is known when it is asked again; "" for one that cannot be. */
  readonly id: string;
  readonly version: string;
  readonly atMs: number;
  readonly features: readonly number[];
  /** As one number: the probability, the value, or the predicted class's index. */
  readonly probability: number;
  readonly byModel: boolean;
  readonly fallback: boolean;
}

export interface SeenOutcome {
  readonly version: string;
  readonly predictedAtMs: number;
  readonly probability: number;
  readonly label: number;
  /** What is taken out again; undefined for the first. */
  readonly previousLabel: number | undefined;
  /** Instead of the probability, of other tasks than BINARY. */
  readonly scores?: Scores | undefined;
}

/** Everything watched about one app: its open windows, and what was judged so far. No input or output. */
export class AppWatch {
  rules: MonitoringRules;
  readonly memory: AppMemory;
  readonly #model: (version: string) => WatchedModel | undefined;
  readonly #windows = new Map<string, Window>();
  readonly #changed = new Set<Window>();

  constructor(rules: MonitoringRules, memory: AppMemory, model: (version: string) => WatchedModel | undefined) {
    this.rules = rules;
    this.memory = memory;
    this.#model = model;
  }

  /** The window that a moment belongs to. */
  keyOf(version: string, atMs: number): WindowKey {
    const { app, windowMs } = this.rules;
    return { app, version, fromMs: Math.floor(atMs / windowMs) * windowMs };
  }

  holds(key: WindowKey): boolean {
    return this.#windows.has(nameOf(key));
  }

  /** Takes over a stored window, or begins an empty one. */
  restore(key: WindowKey, sums?: Float64Array): void {
    this.#windows.set(
      nameOf(key),
      new Window(key, this.#model(key.version) ?? { ...NO_MODEL, version: key.version }, sums),
    );
  }

  addPrediction(seen: SeenPrediction): void {
    const window = this.#windowFor(this.keyOf(seen.version, seen.atMs));
    window.addPrediction(seen.features, seen.probability, seen.byModel, seen.fallback);
    this.memory.predictionsSeen += 1;
  }

  addOutcome(seen: SeenOutcome): void {
    const { truth } = this.#windowFor(this.keyOf(seen.version, seen.predictedAtMs));
    if (seen.previousLabel === undefined) this.memory.outcomesSeen += 1;
    if (seen.scores !== undefined) {
      addScore(truth, seen.scores.before, -1);
      addScore(truth, seen.scores.now, 1);
      return;
    }
    if (seen.previousLabel !== undefined) truth.add(seen.probability, seen.previousLabel, -1);
    truth.add(seen.probability, seen.label);
  }

  /** Moves the event time on, and judges what is complete by it. `champion` is who serves; "" for nobody. */
  advance(watermarkMs: number, champion: string): AlertChange[] {
    const { memory, rules } = this;
    memory.watermarkMs = Math.max(memory.watermarkMs, watermarkMs);
    if (champion === "") return [];
    const inputsDueMs = memory.watermarkMs - rules.latenessMs - rules.windowMs;
    const changes: AlertChange[] = [];
    for (const fromMs of this.#begins(memory.inputsJudgedMs, inputsDueMs)) {
      changes.push(...this.#judgeInputs(fromMs, champion));
      memory.inputsJudgedMs = fromMs + rules.windowMs;
    }
    for (const fromMs of this.#begins(memory.truthJudgedMs, inputsDueMs - rules.labelWaitMs)) {
      changes.push(...this.#judgeTruth(fromMs, champion));
      memory.truthJudgedMs = fromMs + rules.windowMs;
    }
    return changes;
  }

  /** The windows that changed since the last call, to be stored. */
  takeChanged(): Window[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** Lets go of windows whose truth has been judged; a late outcome brings them back from the store. */
  forgetOld(): void {
    const keepFromMs = Math.min(this.memory.truthJudgedMs, this.memory.inputsJudgedMs, ...this.memory.pooledTruth);
    for (const [name, { key }] of this.#windows) if (key.fromMs < keepFromMs) this.#windows.delete(name);
  }

  #windowFor(key: WindowKey): Window {
    if (!this.holds(key)) this.restore(key);
    const window = this.#windows.get(nameOf(key)) as Window;
    this.#changed.add(window);
    return window;
  }

  /** Begins of the windows from `fromMs` on that begin at `untilMs` at the latest, ascending. */
  #begins(fromMs: number, untilMs: number): number[] {
    const begins = new Set<number>();
    for (const { key } of this.#windows.values())
      if (key.fromMs >= fromMs && key.fromMs <= untilMs) begins.add(key.fromMs);
    return [...begins].sort((a, b) => a - b);
  }

  #judgeInputs(fromMs: number, champion: string): AlertChange[] {
    const measured: Measurement[] = [];
    const pooled = this.#pool(this.memory.pooledInputs, fromMs, champion);
    if (pooled !== undefined && pooled.predictions >= this.rules.minRows) {
      measured.push(...judgeInputs(pooled, this.rules));
      this.memory.pooledInputs = [];
    } else if (pooled !== undefined) this.memory.pooledInputs = [...this.memory.pooledInputs, fromMs];
    let [predictions, fallbacks] = [0, 0];
    for (const window of this.#windows.values()) {
      if (window.key.fromMs !== fromMs || window.key.version === "") continue;
      predictions += window.predictions;
      fallbacks += window.fallbacks;
    }
    if (predictions >= this.rules.minRows) measured.push(judgeFallbacks(predictions, fallbacks, this.rules));
    return this.#tell(measured, fromMs, champion);
  }

  #judgeTruth(fromMs: number, champion: string): AlertChange[] {
    const pooled = this.#pool(this.memory.pooledTruth, fromMs, champion);
    // Promises are of probabilities: other tasks make none that could be broken.
    if (pooled === undefined || !isBinary(pooled.model)) return [];
    if (pooled.truth.count < this.rules.minRows) {
      this.memory.pooledTruth = [...this.memory.pooledTruth, fromMs];
      return [];
    }
    this.memory.pooledTruth = [];
    return this.#tell(judgeTruth(pooled, this.rules), fromMs, champion);
  }

  /** The champion's window, together with those before it that had too few rows to say anything. */
  #pool(before: readonly number[], fromMs: number, version: string): Window | undefined {
    const { app } = this.rules;
    const [first, ...others] = [fromMs, ...before]
      .map((begin) => this.#windows.get(nameOf({ app, version, fromMs: begin })))
      .filter((window) => window !== undefined);
    return first?.with(others);
  }

  #tell(measured: readonly Measurement[], fromMs: number, modelVersion: string): AlertChange[] {
    const { app, windowMs, hold, holdOf, sources } = this.rules;
    const window = { app, modelVersion, fromMs, toMs: fromMs + windowMs, hold, holdOf, sources };
    const { memory, changes } = nextAlerts(this.memory.policy, measured, window);
    this.memory.policy = memory;
    return changes;
  }
}

const nameOf = ({ version, fromMs }: WindowKey): string => `${version} ${fromMs}`;
