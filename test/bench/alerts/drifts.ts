import { randomNumbers } from "@millrace/metrics";
import { CATEGORY } from "./flightRows.ts";
import { type Block, pick, type Stream } from "./streams.ts";

export const SIZES = ["small", "medium", "large"] as const;
export type Size = (typeof SIZES)[number];
export const KINDS = ["shift", "category mix", "missing field", "label flipped", "gradual", "spike"] as const;
export type Kind = (typeof KINDS)[number];

/** What each size means. */
const AMOUNTS: Readonly<Record<Kind, Readonly<Record<Size, number>>>> = {
  // Standard deviations of the rows: Cohen's small, medium and large (Statistical Power Analysis, 1988).
  shift: { small: 0.2, medium: 0.5, large: 0.8 },
  // Odds that a flight is from one of the five busiest airports; PSI of about 0.07, 0.25 and 0.7.
  "category mix": { small: 1.8, medium: 3, large: 6 },
  // Share of the rows without it.
  "missing field": { small: 0.1, medium: 0.3, large: 1 },
  // Share of the labels that are the other one.
  "label flipped": { small: 0.05, medium: 0.15, large: 0.4 },
  // As `shift`, reached in so many days.
  gradual: { small: 0.2, medium: 0.5, large: 0.8 },
  spike: { small: 0.8, medium: 1.5, large: 3 },
};
export const GRADUAL_DAYS = 7;
const BUSIEST = 5;

/** Inputs that are made from the delay of landings: they go missing together. */
const FROM_DELAY = ["origin_late_1h", "origin_late_6h", "destination_late_6h", "route_late_7d"];

export interface Drift {
  readonly kind: Kind;
  readonly size: Size;
  /** Chooses the input that drifts. */
  readonly variant: number;
}

export interface DriftedStream extends Stream {
  /** What is known to be affected, by name. */
  readonly affected: readonly string[];
}

/** Changes the windows from `startWindow` on. `rescore` gives the model's answers to changed inputs. */
export function withDrift(
  stream: Stream,
  names: readonly string[],
  { kind, size, variant }: Drift,
  startWindow: number,
  windowsPerDay: number,
  rescore: (columns: readonly Float64Array[]) => Float64Array,
): DriftedStream {
  const amount = AMOUNTS[kind][size];
  const inputs = names.filter((name) => name !== "hour" && name !== "weekday");
  const input = inputs[variant % inputs.length] as string;
  const missing = variant % 2 === 0 ? FROM_DELAY : ["distance"];
  const random = randomNumbers(variant + 1);
  const deviation = deviationOf(stream.reference, names.indexOf(input));
  const shift = (block: Block, part: number): Block => {
    const columns = block.columns.map((column, index) =>
      names[index] === input ? column.map((value) => value + part * amount * deviation) : column,
    );
    return { ...block, columns, probabilities: rescore(columns) };
  };
  const change = (block: Block, since: number): Block => {
    switch (kind) {
      case "shift":
        return shift(block, 1);
      case "gradual":
        return shift(block, Math.min((since + 1) / (GRADUAL_DAYS * windowsPerDay), 1));
      case "spike":
        return since === 0 ? shift(block, 1) : block;
      case "category mix":
        return remixed(block, names.indexOf(CATEGORY), amount, random);
      case "missing field":
        return withGaps(block, names, missing, amount, random, rescore);
      case "label flipped":
        return { ...block, labels: block.labels.map((label) => (random() < amount ? 1 - label : label)) };
    }
  };
  const affected: Readonly<Record<Kind, readonly string[]>> = {
    shift: [input],
    gradual: [input],
    spike: [input],
    "category mix": [CATEGORY, ...names],
    "missing field": missing,
    "label flipped": ["log_loss"],
  };
  return {
    ...stream,
    live: stream.live.map((block, window) => (window < startWindow ? block : change(block, window - startWindow))),
    affected: [...affected[kind], "prediction", "log_loss"],
  };
}

function deviationOf(blocks: readonly Block[], column: number): number {
  let [count, sum, squares] = [0, 0, 0];
  for (const { columns } of blocks) {
    for (const value of columns[column] as Float64Array) {
      if (Number.isNaN(value)) continue;
      count += 1;
      sum += value;
      squares += value * value;
    }
  }
  return Math.sqrt(squares / count - (sum / count) ** 2);
}

/** As many rows, drawn so that the odds of the busiest airports are so many times as high. */
function remixed(block: Block, category: number, odds: number, random: () => number): Block {
  const chosen: number[] = [];
  const count = block.labels.length;
  const categories = block.columns[category] as Float64Array;
  while (chosen.length < count) {
    const row = Math.floor(random() * count);
    if ((categories[row] as number) < BUSIEST || random() < 1 / odds) chosen.push(row);
  }
  return {
    columns: block.columns.map((column) => pick(column, chosen)),
    labels: pick(block.labels, chosen),
    probabilities: pick(block.probabilities, chosen),
    offsetsMs: pick(block.offsetsMs, chosen),
  };
}

/** In a share of the rows what is made from one field is missing, all of it together. */
function withGaps(
  block: Block,
  names: readonly string[],
  missing: readonly string[],
  share: number,
  random: () => number,
  rescore: (columns: readonly Float64Array[]) => Float64Array,
): Block {
  const gone = Array.from(block.labels, () => random() < share);
  const columns = block.columns.map((column, index) =>
    missing.includes(names[index] as string)
      ? column.map((value, row) => (gone[row] === true ? Number.NaN : value))
      : column,
  );
  return { ...block, columns, probabilities: rescore(columns) };
}
