import assert from "node:assert/strict";
import { test } from "node:test";
import { binColumn, binOf, chooseEdges, MISSING_BIN } from "./binning.ts";

test("few distinct values are cut half way between neighbours; missing ones do not count", () => {
  assert.deepEqual([...chooseEdges(Float64Array.of(3, 1, Number.NaN, 1, 2))], [1.5, 2.5]);
  assert.deepEqual([...chooseEdges(Float64Array.of(Number.NaN, Number.NaN))], []);
  assert.deepEqual([...chooseEdges(Float64Array.of(5, 5, 5))], []);
});

test("many values are cut at their quantiles, into bins of about the same size", () => {
  const rows = 100_000;
  const column = Float64Array.from({ length: rows }, (_, row) => ((row * 7919) % rows) ** 2);
  const edges = chooseEdges(column);
  assert.equal(edges.length, 254);
  const bins = new Uint8Array(rows);
  binColumn(column, edges, bins);
  const sizes = new Float64Array(255);
  for (const bin of bins) sizes[bin] = (sizes[bin] as number) + 1;
  for (const size of sizes) assert.ok(Math.abs(size - rows / 255) < rows / 255 / 20, `${size}`);
});

test("every edge is a float32 number, and a value on it goes below", () => {
  const column = Float64Array.from({ length: 1_000 }, (_, row) => 0.1 + row / 7);
  const edges = chooseEdges(column);
  for (const [bin, edge] of edges.entries()) {
    assert.equal(edge, Math.fround(edge));
    assert.equal(binOf(edge, edges), bin);
    assert.equal(binOf(nextFloat32(edge), edges), bin + 1);
  }
});

test("neighbouring float32 numbers are still told apart", () => {
  const high = nextFloat32(1);
  const edges = chooseEdges(Float64Array.of(1, high));
  assert.equal(edges.length, 1);
  assert.deepEqual([binOf(1, edges), binOf(high, edges)], [0, 1]);
});

test("a missing value has a bin of its own", () => {
  const bins = new Uint8Array(2);
  binColumn(Float64Array.of(Number.NaN, 1), Float64Array.of(0), bins);
  assert.deepEqual([...bins], [MISSING_BIN, 1]);
});

/** The next larger float32 number after a positive one. */
function nextFloat32(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  view.setUint32(0, view.getUint32(0) + 1);
  return view.getFloat32(0);
}
