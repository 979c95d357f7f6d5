import { randomNumbers, shuffled } from "@millrace/metrics";
import type { FlightRows } from "./flightRows.ts";

/** What a policy is shown: rows that a model was trained on, and the windows that come after. */
export interface Stream {
  readonly base: Base;
  readonly reference: readonly Block[];
  readonly live: readonly Block[];
}

/**
 * How a stream without drift is made. `rows`: every row may stand in any window, so windows differ by chance alone. `days`: whole days in another
 * order, so that the rows of a day still move together, as they do in life.
 */
export type Base = "rows" | "days";

/** Rows of one window. Columns may be changed: they are copies. */
export interface Block {
  readonly columns: Float64Array[];
  readonly labels: Float64Array;
  readonly probabilities: Float64Array;
  /** From the window's begin, milliseconds. */
  readonly offsetsMs: Float64Array;
}

export interface StreamShape {
  readonly windowMs: number;
  readonly referenceDays: number;
  readonly liveDays: number;
}

const DAY_MS = 86_400_000;

/** Rows by the day that they are of, in order of time; only every n-th. */
export function rowsByDay({ atMs }: FlightRows, fromMs: number, every: number): number[][] {
  const days = new Map<number, number[]>();
  for (const [row, at] of atMs.entries()) {
    if (at < fromMs || row % every !== 0) continue;
    const day = Math.floor(at / DAY_MS);
    const rows = days.get(day);
    if (rows === undefined) days.set(day, [row]);
    else rows.push(row);
  }
  return [...days.values()];
}

/** A stream without drift; the same for the same seed. */
export function quietStream(
  rows: FlightRows,
  probabilities: Float64Array,
  days: readonly (readonly number[])[],
  base: Base,
  shape: StreamShape,
  seed: number,
): Stream {
  const random = randomNumbers(seed);
  const chosen = inRandomOrder(days, random).slice(0, shape.referenceDays + shape.liveDays);
  // A slot says when in the day, and a row what; with rows shuffled, any row in any slot.
  const contents = base === "rows" ? inRandomOrder(chosen.flat(), random) : chosen.flat();
  let next = 0;
  const blocks = chosen.map((day) => {
    const windows = new Map<number, { rows: number[]; offsetsMs: number[] }>();
    for (let window = 0; window < DAY_MS / shape.windowMs; window += 1)
      windows.set(window, { rows: [], offsetsMs: [] });
    for (const slot of day) {
      const timeOfDay = (rows.atMs[slot] as number) % DAY_MS;
      const window = windows.get(Math.floor(timeOfDay / shape.windowMs));
      window?.rows.push(contents[next] as number);
      window?.offsetsMs.push(timeOfDay % shape.windowMs);
      next += 1;
    }
    return [...windows.values()].map((window) => blockOf(rows, probabilities, window.rows, window.offsetsMs));
  });
  return {
    base,
    reference: blocks.slice(0, shape.referenceDays).flat(),
    live: blocks.slice(shape.referenceDays).flat(),
  };
}

function blockOf(
  rows: FlightRows,
  probabilities: Float64Array,
  chosen: readonly number[],
  offsetsMs: readonly number[],
): Block {
  return {
    columns: rows.columns.map((column) => pick(column, chosen)),
    labels: pick(rows.labels, chosen),
    probabilities: pick(probabilities, chosen),
    offsetsMs: Float64Array.from(offsetsMs),
  };
}

/** The values of some rows of a column. A loop: `from` with a function takes several times as long. */
export function pick(column: Float64Array, rows: readonly number[]): Float64Array {
  const picked = new Float64Array(rows.length);
  for (let index = 0; index < rows.length; index += 1) picked[index] = column[rows[index] as number] as number;
  return picked;
}

const inRandomOrder = <Item>(items: readonly Item[], random: () => number): Item[] =>
  Array.from(shuffled(items.length, random), (place) => items[place] as Item);
