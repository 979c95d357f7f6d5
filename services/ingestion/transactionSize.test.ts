import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MAX_BYTES_AT_ONCE,
  MAX_EVENTS_PER_TRANSACTION,
  splitByBytes,
  splitBySize,
  splitIntoTransactions,
} from "./transactionSize.ts";

test("a list is cut into parts of a bounded size, in order, with nothing lost", () => {
  const split = (sizes: readonly number[]): number[][] => splitBySize(sizes, (size) => size, 10);
  assert.deepEqual(split([]), []);
  assert.deepEqual(split([1, 2, 7]), [[1, 2, 7]]);
  assert.deepEqual(split([1, 2, 8, 2, 1]), [[1, 2], [8, 2], [1]]);
  // One that is too large on its own.
  assert.deepEqual(split([1, 12, 1]), [[1], [12], [1]]);
});

test("a transaction has a bounded number of events, a batch a bounded number of bytes", () => {
  const messages = Array.from({ length: 25 }, () => Array.from({ length: 1_000 }, () => "event"));
  const events = splitIntoTransactions(messages).map((transaction) => transaction.flat().length);
  assert.deepEqual(events, [MAX_EVENTS_PER_TRANSACTION, MAX_EVENTS_PER_TRANSACTION, 5_000]);
  const quarter = { data: new Uint8Array(MAX_BYTES_AT_ONCE / 4) };
  const sizes = splitByBytes(Array.from({ length: 9 }, () => quarter)).map(({ length }) => length);
  assert.deepEqual(sizes, [4, 4, 1]);
});
