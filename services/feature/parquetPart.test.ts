import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TemporaryFolder } from "@millrace/test-harness";
import { parquetMetadata } from "hyparquet";
import type { DatasetRow } from "./labelJoin.ts";
import { ParquetPart } from "./parquetPart.ts";
import { randomNumbers } from "./randomForTests.ts";

const PYTHON = process.env["PYTHON"] || "python3";
const skip =
  spawnSync(PYTHON, ["-c", "import pyarrow.parquet"]).status === 0
    ? false
    : `${PYTHON} has no pyarrow; PYTHON names another interpreter`;

const NAMES = ["always", "often_missing", "never"];
const START_MS = Date.UTC(2001, 1, 3, 4, 5, 6, 789);

/** What readParquet.py says. */
interface Read {
  readonly columns: readonly (readonly [name: string, type: string, nullable: boolean])[];
  readonly rowGroups: readonly number[];
  readonly nulls: Readonly<Record<string, number>>;
  readonly nullsInStatistics: Readonly<Record<string, number>>;
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
}

async function fileOf(rows: readonly DatasetRow[]): Promise<Uint8Array> {
  const part = new ParquetPart(NAMES);
  for (const row of rows) await part.add(row);
  return part.finish();
}

async function readByPython(rows: readonly DatasetRow[]): Promise<Read> {
  await using folder = new TemporaryFolder();
  const file = folder.join("part-00000.parquet");
  writeFileSync(file, await fileOf(rows));
  const script = join(import.meta.dirname, "readParquet.py");
  return JSON.parse(execFileSync(PYTHON, [script, file], { encoding: "utf8" })) as Read;
}

/** Values that files of numbers get wrong: the smallest and the largest, the negative zero, long fractions; keys of any script. */
const NUMBERS = [-0, 5e-324, Number.MAX_VALUE, 0.1, -1 / 3, 2 ** 53 + 2];
const KEYS = ["", "UA-1", "Zürich → 東京 🛫", 'a"b\nc'];

function rowsOf(count: number): DatasetRow[] {
  const random = randomNumbers(5);
  return Array.from({ length: count }, (_, index) => ({
    key: `${KEYS[index % KEYS.length]}/${index}`,
    occurredAtMs: START_MS + index,
    features: Float64Array.of(
      NUMBERS[index % NUMBERS.length] as number,
      random() < 0.6 ? Number.NaN : random(),
      Number.NaN,
    ),
    label: random() < 0.3 ? Number.NaN : Number(random() < 0.2),
    labelKnownAtMs: Number.NaN,
    earlier: undefined,
  }));
}

const COLUMNS: Read["columns"] = [
  ["key", "string", false],
  ["occurred_at", "timestamp[ms, tz=UTC]", false],
  ...[...NAMES, "label"].map((name) => [name, "double", true] as const),
];

test("pyarrow reads every column under its name, in its type; what is missing is null, the rest bit for bit", {
  skip,
}, async () => {
  const rows = rowsOf(150_000);
  const read = await readByPython(rows);
  assert.deepEqual(read.columns, COLUMNS);
  assert.deepEqual(read.rowGroups, [65_536, 65_536, 150_000 - 2 * 65_536]);
  const missing = (of: (row: DatasetRow) => number | undefined): number =>
    rows.filter((row) => Number.isNaN(of(row))).length;
  const nulls = {
    key: 0,
    occurred_at: 0,
    always: 0,
    often_missing: missing(({ features }) => features[1]),
    never: 150_000,
    label: missing(({ label }) => label),
  };
  assert.deepEqual(read.nulls, nulls);
  assert.deepEqual(read.nullsInStatistics, nulls);
  const orNull = (value: number | undefined): number | null =>
    value === undefined || Number.isNaN(value) ? null : value;
  const shown = [...rows.filter((_, index) => index % 997 === 0), rows.at(-1) as DatasetRow];
  assert.deepEqual(
    read.rows,
    shown.map(({ key, occurredAtMs, features: [always, often, never], label }) => ({
      key,
      occurred_at: new Date(occurredAtMs).toISOString().replace("Z", "+00:00"),
      always: orNull(always),
      often_missing: orNull(often),
      never: orNull(never),
      label: orNull(label),
    })),
  );
});

test("pyarrow reads a file without rows: it has the columns", { skip }, async () => {
  const read = await readByPython([]);
  assert.deepEqual(read.columns, COLUMNS);
  assert.deepEqual(read.rows, []);
});

test("times are marked as UTC, for readers that go by the logical type alone", async () => {
  const { schema } = parquetMetadata(new Uint8Array(await fileOf([])).buffer);
  const time = schema.find(({ name }) => name === "occurred_at");
  assert.deepEqual(time?.logical_type, { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MILLIS" });
});
