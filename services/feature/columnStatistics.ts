import { create } from "@bufbuild/protobuf";
import {
  type ColumnStatistics,
  ColumnStatisticsSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { binsOf, distinctOf, quantilesOf } from "./distribution.ts";
import { labelSignal } from "./labelSignal.ts";

/**
 * Mean and spread of a column in one pass over all rows: Welford's method (Knuth, TAOCP 2, 4.2.2). NaN is missing; values are finite. What needs the values in
 * order (quantiles, bins, distinct) is of a sample.
 */
export class ColumnSummary {
  #count = 0;
  #missing = 0;
  #mean = 0;
  #squares = 0;
  #min = Infinity;
  #max = -Infinity;

  add(value: number): void {
    if (Number.isNaN(value)) {
      this.#missing += 1;
      return;
    }
    this.#count += 1;
    const difference = value - this.#mean;
    this.#mean += difference / this.#count;
    this.#squares += difference * (value - this.#mean);
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** Values that are not missing. */
  get count(): number {
    return this.#count;
  }

  /**
   * For a column without a value, NaN everywhere.
   *
   * @param sample the column's values in the sample, NaN where missing
   * @param labels of the sample's rows; none for the label's own column
   */
  statistics(name: string, sample: Float64Array, labels?: Float64Array): ColumnStatistics {
    const none = this.#count === 0;
    const sorted = sample.filter((value) => !Number.isNaN(value)).sort();
    const bins = binsOf(sorted);
    return create(ColumnStatisticsSchema, {
      name,
      missing: BigInt(this.#missing),
      mean: none ? Number.NaN : this.#mean,
      standardDeviation: this.#count < 2 ? Number.NaN : Math.sqrt(this.#squares / (this.#count - 1)),
      min: none ? Number.NaN : this.#min,
      max: none ? Number.NaN : this.#max,
      constant: none || (this.#missing === 0 && this.#min === this.#max),
      distinct: BigInt(distinctOf(sorted)),
      quantiles: quantilesOf(sorted),
      bins,
      ...(labels === undefined ? {} : { labelSignal: labelSignal(sample, labels, bins) }),
    });
  }
}
