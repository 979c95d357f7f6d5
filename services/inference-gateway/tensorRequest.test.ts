import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "@millrace/onnx";
import { readModel } from "./modelSignature.ts";
import type { TensorData } from "./tensor.ts";
import { collate, indivisible, rowsOf, type TensorRequest, union } from "./tensorRequest.ts";

const graph = new GraphBuilder("g");
graph.input("x", ["rows", 2]);
graph.output("x", ["rows", 2]);
const { inputs, outputs } = readModel(graph.toBytes()).signature;

const request = (data: TensorData, rows: number, wanted: number[] = [0]): TensorRequest => ({
  inputs: [{ data, dims: [rows, 2] }],
  rows,
  key: "",
  wanted,
});

test("requests are put together row after row, whatever numbers they hold", () => {
  const batch = [request(Float64Array.of(1, 2), 1), request(Float32Array.of(3, 4, 5, 6), 2)];
  assert.deepEqual(collate(inputs, batch, 3, false), [{ data: Float32Array.of(1, 2, 3, 4, 5, 6), dims: [3, 2] }]);
});

test("a single request's memory is used as it is, unless it must be given away or converted", () => {
  const data = Float32Array.of(1, 2);
  assert.equal(collate(inputs, [request(data, 1)], 1, false)[0]?.data, data);
  const [copied] = collate(inputs, [request(data, 1)], 1, true);
  assert.notEqual(copied?.data, data);
  assert.deepEqual(copied, { data, dims: [1, 2] });
});

test("a batch calculates the outputs that any of its requests wants", () => {
  const all = [0, 1, 2];
  const ask = (wanted: number[]): TensorRequest => request(Float32Array.of(1, 2), 1, wanted);
  assert.equal(union([ask(all), ask(all)]), all);
  assert.deepEqual(union([ask([2]), ask([0, 2])]), [2, 0]);
});

test("outputs are divided only when their first dimension is the batch", () => {
  const value = { data: Float32Array.of(1, 2, 3, 4, 5, 6), dims: [3, 2] };
  assert.equal(indivisible([value], outputs, 3), undefined);
  assert.match(indivisible([value], outputs, 2) ?? "", /output x has the shape \[3, 2\] for a batch of 2 rows/);
  assert.match(indivisible([{ data: Float32Array.of(1), dims: [] }], outputs, 1) ?? "", /shape \[\]/);
  assert.deepEqual(rowsOf(value, 1, 2), { data: Float32Array.of(3, 4, 5, 6), dims: [2, 2] });
  assert.deepEqual(rowsOf({ data: ["a", "b"], dims: [2] }, 1, 1), { data: ["b"], dims: [1] });
});
