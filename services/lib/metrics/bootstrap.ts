import { randomNumbers } from "./randomNumbers.ts";

/** A value with the interval in which it lies with 95 % confidence; NaN ends where there is none. */
export interface Estimate {
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

/**
 * Rows in stretches of about the same length, in order. Neighbours are alike (the same storm makes all flights late), so whole stretches are
 * drawn (block bootstrap; Künsch, 1989): rows drawn one by one would look like more evidence than they are.
 */
export interface Blocks {
  readonly count: number;
  /** The stretch of each row. */
  readonly blockOf: Uint16Array;
}

const MAX_BLOCKS = 200;
/** Few rows are drawn in smaller stretches, so that there are enough of these. */
const MIN_BLOCK_ROWS = 5;

/** @param rows in order of time */
export function blocksOf(rows: number): Blocks {
  const count = Math.max(1, Math.min(MAX_BLOCKS, Math.floor(rows / MIN_BLOCK_ROWS)));
  return { count, blockOf: Uint16Array.from({ length: rows }, (_, row) => Math.floor((row * count) / rows)) };
}

/** How often each stretch was drawn, sample after sample; always the same for a seed. The first sample is the rows as they are. */
export function drawBlocks({ count }: Blocks, samples: number, seed: number): Uint16Array[] {
  const random = randomNumbers(seed);
  const drawn = [new Uint16Array(count).fill(1)];
  for (let sample = 0; sample < samples; sample += 1) {
    const times = new Uint16Array(count);
    for (let draw = 0; draw < count; draw += 1) {
      const block = Math.floor(random() * count);
      times[block] = (times[block] as number) + 1;
    }
    drawn.push(times);
  }
  return drawn;
}

/** @param values of the rows as they are, then of each sample; those that are not numbers are left out */
export function estimateOf([value = Number.NaN, ...samples]: readonly number[], confidence = 0.95): Estimate {
  const sorted = Float64Array.from(samples.filter(Number.isFinite)).sort();
  // Of a few samples no tail can be told.
  if (sorted.length < samples.length / 2 || sorted.length < 20) return { value, lower: Number.NaN, upper: Number.NaN };
  const tail = (1 - confidence) / 2;
  return { value, lower: quantile(sorted, tail), upper: quantile(sorted, 1 - tail) };
}

/** Between the nearest two values. */
export function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const below = sorted[low] as number;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] as number;
  return below + (above - below) * (place - low);
}
