import { describeError, MillraceError } from "@millrace/runtime";
import { parquetMetadata, parquetRead } from "hyparquet";
import type { Matrix } from "./matrix.ts";

/** A dataset's rows. Labels are NaN where they are not known yet. */
export interface Dataset extends Matrix {
  /** Milliseconds since the Unix epoch. */
  readonly occurredAtMs: Float64Array;
  /** Fields of the request that are no features, by name: what the evaluation is told by. */
  readonly fields?: ReadonlyMap<string, readonly (string | undefined)[]>;
}

/** Columns that are not features. */
const KEY = "key";
const OCCURRED_AT = "occurred_at";
const LABEL = "label";
/** Before the name of a field of the request. */
const FIELD = "request.";

/**
 * Reads a dataset's Parquet objects, given in row order.
 *
 * @throws `data_loss` for bytes that are not Parquet, or whose columns are not those of `featureNames`.
 */
export async function readParquet(
  objects: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  featureNames: readonly string[],
): Promise<Dataset> {
  const files = objects.map(({ name, bytes }) => openParquet(name, bytes));
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const wanted = [OCCURRED_AT, LABEL, ...featureNames];
  const columns = new Map(wanted.map((name) => [name, new Float64Array(rows).fill(Number.NaN)]));
  const fieldColumns = [...(files[0]?.columnNames ?? [])].filter((name) => name.startsWith(FIELD));
  const fields = new Map(fieldColumns.map((name) => [name, Array.from<string | undefined>({ length: rows })]));
  let offset = 0;
  for (const file of files) {
    checkColumns(file, featureNames);
    const start = offset;
    await parquetRead({
      file: { byteLength: file.buffer.byteLength, slice: (from, to) => file.buffer.slice(from, to) },
      metadata: file.metadata,
      columns: [...wanted, ...fieldColumns],
      parsers: MILLISECONDS,
      onChunk: ({ columnName, columnData, rowStart }) => {
        const texts = fields.get(columnName);
        if (texts !== undefined) {
          for (let row = 0; row < columnData.length; row += 1) {
            const value: unknown = columnData[row];
            if (typeof value === "string") texts[start + rowStart + row] = value;
          }
          return;
        }
        const column = columns.get(columnName) as Float64Array;
        for (let row = 0; row < columnData.length; row += 1) {
          const value: unknown = columnData[row];
          if (value !== null && value !== undefined) column[start + rowStart + row] = Number(value);
        }
      },
    });
    offset += file.rows;
  }
  return {
    featureNames,
    occurredAtMs: columns.get(OCCURRED_AT) as Float64Array,
    columns: featureNames.map((name) => columns.get(name) as Float64Array),
    labels: columns.get(LABEL) as Float64Array,
    fields: new Map([...fields].map(([name, texts]) => [name.slice(FIELD.length), texts])),
  };
}

/** Plain numbers: a Date object per row would cost more than all the rest. */
const MILLISECONDS = {
  timestampFromMilliseconds: (ms: bigint) => Number(ms),
  timestampFromMicroseconds: (us: bigint) => Number(us / 1_000n),
  timestampFromNanoseconds: (ns: bigint) => Number(ns / 1_000_000n),
};

interface ParquetFile {
  readonly name: string;
  readonly buffer: ArrayBuffer;
  readonly metadata: ReturnType<typeof parquetMetadata>;
  readonly rows: number;
  readonly columnNames: ReadonlySet<string>;
}

function openParquet(name: string, bytes: Uint8Array): ParquetFile {
  try {
    // A copy: a Buffer's own memory may be a piece of a larger one.
    const { buffer } = new Uint8Array(bytes);
    const metadata = parquetMetadata(buffer);
    const columnNames = new Set(metadata.schema.slice(1).map((element) => element.name));
    return { name, buffer, metadata, rows: Number(metadata.num_rows), columnNames };
  } catch (cause) {
    throw new MillraceError("data_loss", `The dataset object ${name} is not a Parquet file: ${describeError(cause)}`, {
      cause,
    });
  }
}

function checkColumns({ name, columnNames }: ParquetFile, featureNames: readonly string[]): void {
  const missing = [OCCURRED_AT, LABEL, ...featureNames].filter((column) => !columnNames.has(column));
  if (missing.length > 0) {
    const has = [...columnNames].filter((column) => column !== KEY).join(", ");
    throw new MillraceError(
      "data_loss",
      `The dataset object ${name} has no column ${missing.join(", ")}; it has ${has}. Was the app changed while it was built?`,
    );
  }
}
