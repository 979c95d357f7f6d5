import assert from "node:assert/strict";
import { test } from "node:test";
import { parquetWriteBuffer } from "hyparquet-writer";
import { readParquet } from "./parquet.ts";

function file(name: string, rows: number, first = 0, rowGroupSize = 1_000): { name: string; bytes: Uint8Array } {
  const indexes = Array.from({ length: rows }, (_, row) => first + row);
  const buffer = parquetWriteBuffer({
    rowGroupSize,
    columnData: [
      { name: "key", data: indexes.map(String), type: "STRING" },
      { name: "occurred_at", data: indexes.map((row) => new Date(1_000 * row)), type: "TIMESTAMP" },
      { name: "b", data: indexes.map((row) => (row % 3 === 0 ? null : row / 2)), type: "DOUBLE", nullable: true },
      { name: "a", data: indexes, type: "DOUBLE", nullable: true },
      { name: "label", data: indexes.map((row) => (row === 1 ? null : row % 2)), type: "DOUBLE", nullable: true },
    ],
  });
  return { name, bytes: new Uint8Array(buffer) };
}

test("objects follow each other in row order, over any number of row groups", async () => {
  const { occurredAtMs, columns, labels } = await readParquet([file("x", 2_500), file("y", 10, 2_500)], ["a", "b"]);
  assert.equal(labels.length, 2_510);
  for (let row = 0; row < 2_510; row += 1) {
    assert.equal(occurredAtMs[row], row * 1_000);
    assert.equal(columns[0]?.[row], row);
    assert.equal(columns[1]?.[row], row % 3 === 0 ? Number.NaN : row / 2);
    assert.equal(labels[row], row === 1 ? Number.NaN : row % 2);
  }
});

test("a file that is a piece of a larger buffer is read as itself", async () => {
  const { bytes } = file("x", 5);
  const larger = Buffer.concat([Buffer.alloc(100, 7), bytes, Buffer.alloc(50, 7)]);
  const piece = larger.subarray(100, 100 + bytes.length);
  const { labels } = await readParquet([{ name: "x", bytes: piece }], ["a"]);
  assert.deepEqual([...labels], [0, Number.NaN, 0, 1, 0]);
});

test("a column that is not there is named, with those that are", async () => {
  await assert.rejects(
    readParquet([file("x", 5)], ["a", "gone"]),
    /x has no column gone; it has occurred_at, b, a, label/,
  );
});

test("bytes that are no Parquet are refused by name", async () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(100), file("x", 5).bytes.subarray(0, 80)]) {
    await assert.rejects(
      readParquet([{ name: "broken", bytes }], ["a"]),
      /dataset object broken is not a Parquet file/,
    );
  }
});
