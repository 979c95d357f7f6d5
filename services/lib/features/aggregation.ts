import { Aggregate } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { addPair, multiply, type Pair } from "./exactSum.ts";

/**
 * How a tile accumulates values, how tiles merge into a window, and what a window says. Components of one tile lie at
 * `components[at]` … `components[at + width - 1]`.
 */
export interface Aggregation {
  /** Names the layout of the components; part of a series' definition. */
  readonly layout: string;
  /** Components per tile. */
  readonly width: number;
  /** What no value at all looks like. */
  readonly identity: readonly number[];
  /** Adds one value that happened at `occurredAtMs`. */
  add(components: Pair, at: number, value: number, occurredAtMs: number): void;
  /** Adds the tiles from index `from` to `to` to a window's accumulator, which starts as `identity` at index 0. */
  merge(window: Float64Array, components: Pair, from: number, to: number): void;
  /** The feature; NaN means missing. */
  finish(window: Float64Array): number;
}

/** Sums of whole numbers and booleans are exact in one double up to 2^53; any other value needs a pair. */
export type Exactness = "whole numbers" | "doubles";

/**
 * The aggregation of a feature; undefined for DISTINCT, which keeps sketches instead (`distinctSketch.ts`). All of them give the same
 * result, to the last bit, whatever the order in which the values came: COUNT, MIN, MAX and LAST always; the others for whole numbers and
 * booleans while sums (STDDEV: of squares) stay below 2^53, and for doubles while the sum of the absolute values (STDDEV: of the squares)
 * stays below 2^48 times the smallest of them that is not zero. Beyond that the result is as good, but its last bits may depend on the order.
 *
 * COUNT and SUM of nothing are 0; the others are missing. STDDEV is the sample's (divisor n - 1), missing below two values. LAST is the
 * value that happened last; of several at the same millisecond, the largest.
 */
export function aggregationOf(aggregate: Aggregate, exactness: Exactness): Aggregation | undefined {
  const whole = exactness === "whole numbers";
  switch (aggregate) {
    case Aggregate.COUNT:
      return COUNT;
    case Aggregate.SUM:
      return whole ? WHOLE_SUM : SUM;
    case Aggregate.MEAN:
      return whole ? WHOLE_MEAN : MEAN;
    case Aggregate.MIN:
      return MIN;
    case Aggregate.MAX:
      return MAX;
    case Aggregate.LAST:
      return LAST;
    case Aggregate.STDDEV:
      return STDDEV;
    default:
      return undefined;
  }
}

const get = (components: Pair, at: number): number => components[at] as number;

const COUNT: Aggregation = {
  layout: "count",
  width: 1,
  identity: [0],
  add: (components, at) => {
    components[at] = get(components, at) + 1;
  },
  merge: (window, components, from, to) => {
    let sum = get(window, 0);
    for (let at = from; at < to; at += 1) sum += get(components, at);
    window[0] = sum;
  },
  finish: (window) => get(window, 0),
};

const WHOLE_SUM: Aggregation = {
  layout: "sum",
  width: 1,
  identity: [0],
  add: (components, at, value) => {
    components[at] = get(components, at) + value;
  },
  merge: (window, components, from, to) => {
    let sum = get(window, 0);
    for (let at = from; at < to; at += 1) sum += get(components, at);
    window[0] = sum;
  },
  finish: (window) => get(window, 0),
};

const SUM: Aggregation = {
  layout: "sum pair",
  width: 2,
  identity: [0, 0],
  add: (components, at, value) => addPair(components, at, value, 0),
  merge: (window, components, from, to) => {
    for (let at = 2 * from; at < 2 * to; at += 2) addPair(window, 0, get(components, at), get(components, at + 1));
  },
  finish: (window) => get(window, 0),
};

const meanOf = (window: Float64Array): number => (get(window, 0) === 0 ? Number.NaN : get(window, 1) / get(window, 0));

const WHOLE_MEAN: Aggregation = {
  layout: "count, sum",
  width: 2,
  identity: [0, 0],
  add: (components, at, value) => {
    components[at] = get(components, at) + 1;
    components[at + 1] = get(components, at + 1) + value;
  },
  merge: (window, components, from, to) => {
    let count = get(window, 0);
    let sum = get(window, 1);
    for (let at = 2 * from; at < 2 * to; at += 2) {
      count += get(components, at);
      sum += get(components, at + 1);
    }
    window[0] = count;
    window[1] = sum;
  },
  finish: meanOf,
};

const MEAN: Aggregation = {
  layout: "count, sum pair",
  width: 3,
  identity: [0, 0, 0],
  add: (components, at, value) => {
    components[at] = get(components, at) + 1;
    addPair(components, at + 1, value, 0);
  },
  merge: (window, components, from, to) => {
    for (let at = 3 * from; at < 3 * to; at += 3) {
      window[0] = get(window, 0) + get(components, at);
      addPair(window, 1, get(components, at + 1), get(components, at + 2));
    }
  },
  finish: meanOf,
};

const finiteOrMissing = (value: number): number => (Number.isFinite(value) ? value : Number.NaN);

const MIN: Aggregation = {
  layout: "min",
  width: 1,
  identity: [Infinity],
  add: (components, at, value) => {
    if (value < get(components, at)) components[at] = value;
  },
  merge: (window, components, from, to) => {
    for (let at = from; at < to; at += 1) {
      if (get(components, at) < get(window, 0)) window[0] = get(components, at);
    }
  },
  finish: (window) => finiteOrMissing(get(window, 0)),
};

const MAX: Aggregation = {
  layout: "max",
  width: 1,
  identity: [-Infinity],
  add: (components, at, value) => {
    if (value > get(components, at)) components[at] = value;
  },
  merge: (window, components, from, to) => {
    for (let at = from; at < to; at += 1) {
      if (get(components, at) > get(window, 0)) window[0] = get(components, at);
    }
  },
  finish: (window) => finiteOrMissing(get(window, 0)),
};

function takeLater(components: Pair, at: number, occurredAtMs: number, value: number): void {
  const known = get(components, at);
  if (occurredAtMs < known || (occurredAtMs === known && value <= get(components, at + 1))) return;
  components[at] = occurredAtMs;
  components[at + 1] = value;
}

const LAST: Aggregation = {
  layout: "occurred_at, value",
  width: 2,
  identity: [-Infinity, Number.NaN],
  add: (components, at, value, occurredAtMs) => takeLater(components, at, occurredAtMs, value),
  merge: (window, components, from, to) => {
    for (let at = 2 * from; at < 2 * to; at += 2) takeLater(window, 0, get(components, at), get(components, at + 1));
  },
  finish: (window) => get(window, 1),
};

/** Squares are summed as products and their errors apart: a single pair has too few bits for them when the mean is large. */
const STDDEV: Aggregation = {
  layout: "count, sum pair, square pair, square error pair",
  width: 7,
  identity: [0, 0, 0, 0, 0, 0, 0],
  add: (components, at, value) => {
    components[at] = get(components, at) + 1;
    addPair(components, at + 1, value, 0);
    const [square, error] = multiply(value, value);
    addPair(components, at + 3, square, 0);
    addPair(components, at + 5, error, 0);
  },
  merge: (window, components, from, to) => {
    for (let at = 7 * from; at < 7 * to; at += 7) {
      window[0] = get(window, 0) + get(components, at);
      for (let pair = 1; pair < 7; pair += 2) {
        addPair(window, pair, get(components, at + pair), get(components, at + pair + 1));
      }
    }
  },
  finish: standardDeviation,
};

/** sqrt((Σx² - (Σx)²/n) / (n - 1)), with the difference taken in pairs so that a large mean does not drown a small spread. */
function standardDeviation(window: Float64Array): number {
  const count = get(window, 0);
  if (count < 2) return Number.NaN;
  const [square, squareError] = multiply(get(window, 1), get(window, 1));
  const low = squareError + 2 * get(window, 1) * get(window, 2);
  const quotient = square / count;
  const [back, backError] = multiply(quotient, count);
  const rest = (square - back - backError + low) / count;
  const difference: Pair = [get(window, 3), get(window, 4)];
  addPair(difference, 0, -quotient, -rest);
  addPair(difference, 0, get(window, 5), get(window, 6));
  return Math.sqrt(Math.max(0, get(difference, 0)) / (count - 1));
}
