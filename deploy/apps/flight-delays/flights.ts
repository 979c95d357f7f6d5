import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "@millrace/runtime";
import { parquetMetadata, parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";

/** Flights in order of their scheduled departure; all columns have the same length. */
export interface Flights {
  readonly count: number;
  /** Number of each flight in the whole file; names the flight. */
  readonly firstRow: number;
  /** Scheduled departure, milliseconds since the epoch; the data's local times are taken as UTC. */
  readonly departureMs: Float64Array;
  /** At arrival, minutes; negative is early. */
  readonly delayMinutes: Float64Array;
  readonly distanceMiles: Float64Array;
  readonly origin: readonly string[];
  readonly destination: readonly string[];
}

/** 3,000,000 US domestic flights of 1 January to 30 June 2001, from the npm package vega-datasets. */
const FILE = join(import.meta.dirname, "node_modules", "vega-datasets", "data", "flights-3m.parquet");

export const DATA_FROM_MS = Date.UTC(2001, 0, 1);
export const DATA_TO_MS = Date.UTC(2001, 6, 1);

/**
 * Reads the flights that depart in [fromMs, toMs).
 *
 * @throws `not_found` when the data file is not installed.
 */
export async function readFlights(fromMs: number, toMs: number): Promise<Flights> {
  if (!existsSync(FILE))
    throw new MillraceError("not_found", `${FILE} is missing; install the workspace: npm run check`);
  const bytes = await readFile(FILE);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const metadata = parquetMetadata(buffer);
  const rows = Number(metadata.num_rows);
  const file = { byteLength: buffer.byteLength, slice: (begin: number, end?: number) => buffer.slice(begin, end) };
  const departureMs = new Float64Array(rows);
  await readColumn({ file, metadata }, "date", (row, value) => {
    departureMs[row] = (value as Date).getTime();
  });
  const begin = firstAtOrAfter(departureMs, fromMs);
  const end = firstAtOrAfter(departureMs, toMs);
  const count = end - begin;
  const range = { file, metadata, rowStart: begin, rowEnd: end };
  const numbers = async (name: string): Promise<Float64Array> => {
    const column = new Float64Array(count);
    await readColumn(range, name, (row, value) => {
      if (row >= begin && row < end) column[row - begin] = Number(value);
    });
    return column;
  };
  const texts = async (name: string): Promise<string[]> => {
    const column: string[] = Array.from({ length: count });
    await readColumn(range, name, (row, value) => {
      if (row >= begin && row < end) column[row - begin] = value as string;
    });
    return column;
  };
  return {
    count,
    firstRow: begin,
    departureMs: departureMs.subarray(begin, end),
    delayMinutes: await numbers("delay"),
    distanceMiles: await numbers("distance"),
    origin: await texts("origin"),
    destination: await texts("destination"),
  };
}

type Range = Pick<Parameters<typeof parquetRead>[0], "file" | "metadata" | "rowStart" | "rowEnd">;

function readColumn(range: Range, name: string, each: (row: number, value: unknown) => void): Promise<void> {
  return parquetRead({
    ...range,
    compressors,
    columns: [name],
    onChunk: ({ columnData, rowStart }) => {
      for (let index = 0; index < columnData.length; index += 1) each(rowStart + index, columnData[index]);
    },
  });
}

function firstAtOrAfter(sorted: Float64Array, timeMs: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
