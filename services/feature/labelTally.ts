import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  DatasetSliceSchema,
  type LabelStatistics,
  LabelStatisticsSchema,
  type SplitBoundary,
  SplitBoundarySchema,
} from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { quantilesOf } from "./distribution.ts";
import type { DatasetRow, JoinCounts } from "./labelJoin.ts";
import { CALENDAR_MS, TimeSlices } from "./timeSlices.ts";

/** Slices that a report shows at most: a year of days. */
const MAX_SLICES = 366;
/** The split's boundary is found in slices of a minute, or longer ones when history is: a slice is then a ten-thousandth of it. */
const MAX_FINE_SLICES = 16_384;
const FINE_MS = 60_000;

const ROWS = 0;
const LABELLED = 1;
const POSITIVE = 2;
const PENDING = 3;

/** Counts a dataset's rows by time and by label. */
export class LabelTally {
  readonly #waitMs: number;
  readonly #slices = new TimeSlices(CALENDAR_MS, MAX_SLICES, 4);
  /** Labelled rows and positive ones. */
  readonly #fine = new TimeSlices([FINE_MS], MAX_FINE_SLICES, 2);
  readonly #totals = new Float64Array(4);
  #mature = 0;

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  get labelled(): number {
    return this.#totals[LABELLED] as number;
  }

  /** @param logClockMs what has been known up to now */
  add({ occurredAtMs, label }: DatasetRow, logClockMs: number): void {
    const slice = this.#slices.at(occurredAtMs);
    this.#increment(slice, ROWS);
    const mature = occurredAtMs + this.#waitMs < logClockMs;
    if (mature) this.#mature += 1;
    if (Number.isNaN(label)) {
      if (!mature) this.#increment(slice, PENDING);
      return;
    }
    const fine = this.#fine.at(occurredAtMs);
    fine[0] = (fine[0] as number) + 1;
    this.#increment(slice, LABELLED);
    if (label <= 0.5) return;
    this.#increment(slice, POSITIVE);
    fine[1] = (fine[1] as number) + 1;
  }

  /** @param delaysMs of the sample's rows: from prediction to label, NaN where there is none */
  statistics(counts: JoinCounts, delaysMs: Float64Array): LabelStatistics {
    const [rows = 0, labelled = 0, positive = 0, pending = 0] = this.#totals;
    const delaysSeconds = delaysMs.filter((delay) => !Number.isNaN(delay)).map((delay) => delay / 1_000);
    return create(LabelStatisticsSchema, {
      pendingRows: BigInt(pending),
      neverLabelledRows: BigInt(rows - labelled - pending),
      matureRows: BigInt(this.#mature),
      positiveRows: BigInt(positive),
      events: BigInt(counts.labelEvents),
      duplicates: BigInt(counts.duplicates),
      conflicts: BigInt(counts.conflicts),
      due: BigInt(counts.due),
      unmatched: BigInt(counts.unmatched),
      repeatedKeys: BigInt(counts.repeatedKeys),
      repeatedRows: BigInt(counts.repeatedRows),
      delaySeconds: quantilesOf(delaysSeconds.sort()),
      sliceLength: durationFromMs(this.#slices.lengthMs),
      slices: this.#slices
        .all()
        .map(({ fromMs, counts: [ofRows = 0, ofLabelled = 0, ofPositive = 0, ofPending = 0] }) =>
          create(DatasetSliceSchema, {
            from: timestampFromMs(fromMs),
            rows: BigInt(ofRows),
            labelled: BigInt(ofLabelled),
            positive: BigInt(ofPositive),
            pending: BigInt(ofPending),
          }),
        ),
    });
  }

  /** Where the newest `holdoutShare` of the labelled rows begins; undefined without labelled rows. */
  split(holdoutShare: number): SplitBoundary | undefined {
    const slices = this.#fine.all();
    const [, total = 0, allPositive = 0] = this.#totals;
    const wanted = total * holdoutShare;
    let boundary: number | undefined;
    let rows = 0;
    let positive = 0;
    for (const { fromMs, counts } of slices.reverse()) {
      const withSlice = rows + (counts[0] as number);
      if (boundary !== undefined && Math.abs(withSlice - wanted) >= Math.abs(rows - wanted)) break;
      boundary = fromMs;
      rows = withSlice;
      positive += counts[1] as number;
    }
    if (boundary === undefined) return undefined;
    return create(SplitBoundarySchema, {
      holdoutShare,
      holdoutFrom: timestampFromMs(boundary),
      sliceLength: durationFromMs(this.#fine.lengthMs),
      trainRows: BigInt(total - rows),
      trainPositive: BigInt(allPositive - positive),
      holdoutRows: BigInt(rows),
      holdoutPositive: BigInt(positive),
    });
  }

  #increment(slice: Float64Array, count: number): void {
    slice[count] = (slice[count] as number) + 1;
    this.#totals[count] = (this.#totals[count] as number) + 1;
  }
}
