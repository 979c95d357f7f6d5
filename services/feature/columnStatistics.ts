import { create } from "@bufbuild/protobuf";
import {
  type ColumnStatistics,
  ColumnStatisticsSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";

/** Mean and spread of a column in one pass: Welford's method (Knuth, TAOCP 2, 4.2.2). NaN is missing. */
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

  get count(): number {
    return this.#count;
  }

  /** For a column without a value, NaN everywhere. */
  statistics(name: string): ColumnStatistics {
    const none = this.#count === 0;
    return create(ColumnStatisticsSchema, {
      name,
      missing: BigInt(this.#missing),
      mean: none ? Number.NaN : this.#mean,
      standardDeviation: this.#count < 2 ? Number.NaN : Math.sqrt(this.#squares / (this.#count - 1)),
      min: none ? Number.NaN : this.#min,
      max: none ? Number.NaN : this.#max,
    });
  }
}
