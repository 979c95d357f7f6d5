import assert from "node:assert/strict";
import { test } from "node:test";
import { splitIntoTransactions } from "./transactionSize.ts";

test("messages are spread over transactions of a bounded number of events, whole and in order", () => {
  const message = (events: number): string[] => Array.from({ length: events }, () => "event");
  const split = (sizes: readonly number[]): number[][] =>
    splitIntoTransactions(sizes.map(message), 10).map((messages) => messages.map(({ length }) => length));
  assert.deepEqual(split([]), []);
  assert.deepEqual(split([1, 2, 7]), [[1, 2, 7]]);
  assert.deepEqual(split([1, 2, 8, 2]), [
    [1, 2],
    [8, 2],
  ]);
  // A message that is too many on its own.
  assert.deepEqual(split([1, 12, 1]), [[1], [12], [1]]);
});
