import { binOf } from "@millrace/metrics";
import { EstimateSketch } from "./statistics/estimateSketch.ts";
import { TruthSketch } from "./statistics/truthSketch.ts";
import { isBinary, type WatchedModel, type WatchedSubject } from "./watchedModel.ts";

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
  /** Values that the reference never had: outside its range, or none of its categories. */
  readonly unseen: number;
  /** Mean and standard deviation of the finite values; NaN without any. */
  readonly mean: number;
  readonly deviation: number;
}

const PREDICTIONS = 0;
const FALLBACKS = 1;
const HEAD = 2;
/** Per subject, after its bins. */
const TAIL = { missing: 0, unseen: 1, finite: 2, sum: 3, squares: 4 } as const;
const TAIL_LENGTH = 5;

/**
 * One window of event time of one model version, as sums: its size depends on the reference's bins, not on the traffic. One
 * array, so that it is stored as it is: head, then per subject its bins and what belongs to it, then the truth, then what is expected of it.
 */
export class Window {
  readonly key: WindowKey;
  readonly model: WatchedModel;
  readonly truth: TruthSketch;
  /** What the predictions promise before there is truth. */
  readonly estimate: EstimateSketch;
  readonly #sums: Float64Array;
  readonly #offsets: readonly number[];

  constructor(key: WindowKey, model: WatchedModel, sums?: Float64Array) {
    this.key = key;
    this.model = model;
    const offsets = [HEAD];
    for (const { edges } of model.subjects) offsets.push((offsets.at(-1) as number) + edges.length + 1 + TAIL_LENGTH);
    const truthAt = offsets.at(-1) as number;
    const estimateAt = truthAt + TruthSketch.length;
    const length = estimateAt + EstimateSketch.length;
    this.#offsets = offsets;
    this.#sums = sums?.length === length ? sums : new Float64Array(length);
    this.truth = new TruthSketch(this.#sums.subarray(truthAt, estimateAt));
    this.estimate = new EstimateSketch(this.#sums.subarray(estimateAt));
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
   * @param answer the probability, the value, or the predicted class's index
   * @param byModel whether this model answered; its answer is counted only then
   */
  addPrediction(features: readonly number[], answer: number, byModel: boolean, fallback: boolean): void {
    this.#increase(PREDICTIONS);
    if (fallback) this.#increase(FALLBACKS);
    const inputs = this.model.subjects.length - 1;
    if (features.length === inputs) {
      for (let index = 0; index < inputs; index += 1) this.#count(index, features[index] as number);
    }
    if (!byModel || inputs < 0) return;
    this.#count(inputs, answer);
    if (isBinary(this.model)) this.estimate.add(answer);
  }

  /** The counts of subject `index` of the model. */
  subject(index: number): SubjectCounts {
    const from = this.#offsets[index] as number;
    const tail = (this.#offsets[index + 1] as number) - TAIL_LENGTH;
    const bins = this.#sums.subarray(from, tail);
    const at = (place: number): number => this.#sums[tail + place] as number;
    const mean = at(TAIL.sum) / at(TAIL.finite);
    return {
      bins,
      missing: at(TAIL.missing),
      present: bins.reduce((sum, count) => sum + count, 0),
      unseen: at(TAIL.unseen),
      mean,
      deviation: Math.sqrt(Math.max(at(TAIL.squares) / at(TAIL.finite) - mean * mean, 0)),
    };
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

  #count(index: number, value: number): void {
    const subject = this.model.subjects[index] as WatchedSubject;
    const from = this.#offsets[index] as number;
    const tail = from + subject.edges.length + 1;
    if (Number.isNaN(value)) {
      this.#increase(tail + TAIL.missing);
      return;
    }
    this.#increase(from + binOf(subject.edges, value));
    if (isUnseen(subject, value)) this.#increase(tail + TAIL.unseen);
    if (!Number.isFinite(value)) return;
    this.#increase(tail + TAIL.finite);
    this.#increase(tail + TAIL.sum, value);
    this.#increase(tail + TAIL.squares, value * value);
  }

  #increase(index: number, by = 1): void {
    this.#sums[index] = (this.#sums[index] as number) + by;
  }
}

/** Whether the reference never had such a value. One that does not tell its range has had any. */
function isUnseen({ minimum, maximum, categories }: WatchedSubject, value: number): boolean {
  if (minimum === maximum && categories.length === 0) return false;
  if (value < minimum || value > maximum) return true;
  return categories.length > 0 && categories[binOf(categories, value)] !== value;
}
