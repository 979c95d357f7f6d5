import { TruthSketch } from "./statistics/truthSketch.ts";
import type { WatchedModel } from "./watchedModel.ts";

export interface WindowKey {
  readonly app: string;
  readonly version: string;
  /** Event time, milliseconds. */
  readonly fromMs: number;
}

/** What the counts of one subject say. */
export interface SubjectCounts {
  /** Per bin of the reference. */
  readonly bins: Float64Array;
  readonly missing: number;
  readonly present: number;
}

const PREDICTIONS = 0;
const FALLBACKS = 1;
const HEAD = 2;

/**
 * One window of event time of one model version, as sums: its size depends on the reference's bins, not on the traffic. One
 * array, so that it is stored as it is: head, then per subject its bins and one for missing, then the truth.
 */
export class Window {
  readonly key: WindowKey;
  readonly model: WatchedModel;
  readonly truth: TruthSketch;
  readonly #sums: Float64Array;
  readonly #offsets: readonly number[];

  constructor(key: WindowKey, model: WatchedModel, sums?: Float64Array) {
    this.key = key;
    this.model = model;
    const offsets = [HEAD];
    for (const { edges } of model.subjects) offsets.push((offsets.at(-1) as number) + edges.length + 2);
    const truthAt = offsets.at(-1) as number;
    const length = truthAt + TruthSketch.length;
    this.#offsets = offsets;
    this.#sums = sums?.length === length ? sums : new Float64Array(length);
    this.truth = new TruthSketch(this.#sums.subarray(truthAt));
  }

  get predictions(): number {
    return this.#sums[PREDICTIONS] as number;
  }

  get fallbacks(): number {
    return this.#sums[FALLBACKS] as number;
  }

  /** What is stored. */
  get sums(): Float64Array {
    return this.#sums;
  }

  /**
   * Counts one prediction.
   *
   * @param features in the model's order; of another length (made for another version) they are not counted
   * @param byModel whether this model answered; its answer is counted only then
   */
  addPrediction(features: readonly number[], probability: number, byModel: boolean, fallback: boolean): void {
    this.#increase(PREDICTIONS);
    if (fallback) this.#increase(FALLBACKS);
    const inputs = this.model.subjects.length - 1;
    if (features.length === inputs) {
      for (let index = 0; index < inputs; index += 1) this.#count(index, features[index] as number);
    }
    if (byModel && inputs >= 0) this.#count(inputs, probability);
  }

  /** The counts of subject `index` of the model. */
  subject(index: number): SubjectCounts {
    const from = this.#offsets[index] as number;
    const missingAt = (this.#offsets[index + 1] as number) - 1;
    const bins = this.#sums.subarray(from, missingAt);
    return { bins, missing: this.#sums[missingAt] as number, present: bins.reduce((sum, count) => sum + count, 0) };
  }

  /** This window and others of the same model as one. */
  with(others: readonly Window[]): Window {
    const sum = new Window(this.key, this.model, this.#sums.slice());
    for (const other of others) {
      for (let index = 0; index < sum.#sums.length; index += 1) {
        sum.#sums[index] = (sum.#sums[index] as number) + (other.#sums[index] ?? 0);
      }
    }
    return sum;
  }

  #count(subject: number, value: number): void {
    const from = this.#offsets[subject] as number;
    const { edges } = this.model.subjects[subject] as WatchedModel["subjects"][number];
    this.#increase(Number.isNaN(value) ? from + edges.length + 1 : from + binOf(edges, value));
  }

  #increase(index: number): void {
    this.#sums[index] = (this.#sums[index] as number) + 1;
  }
}

/** The bin i with edges[i-1] < x <= edges[i]; the first and the last are open. */
export function binOf(edges: readonly number[], value: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (edges[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}
