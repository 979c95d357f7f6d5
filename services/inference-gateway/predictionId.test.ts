import assert from "node:assert/strict";
import { test } from "node:test";
import { messageId, predictionId, rowsMessageId } from "./predictionId.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[48][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a question with an id of its caller's has one prediction id, whenever it is asked; others have ids of their own", () => {
  const ids = Array.from({ length: 200 }, (_, index) => predictionId("shop", `order-${index}`));
  for (const id of ids) assert.match(id, UUID);
  assert.equal(new Set(ids).size, 200);
  assert.deepEqual(
    ids,
    ids.map((_, index) => predictionId("shop", `order-${index}`)),
  );
  assert.notEqual(predictionId("shop", "a"), predictionId("stop", "a"));
  assert.match(predictionId("shop", ""), UUID);
  assert.notEqual(predictionId("shop", ""), predictionId("shop", ""));
});

test("rows that share a message are known again by their request ids and their order, and are never taken for a single one", () => {
  assert.equal(rowsMessageId("shop", ["a", "b"]), rowsMessageId("shop", ["a", "b"]));
  const others = [["b", "a"], ["ab"], ["a", "b", "c"], ["a"]].map((ids) => rowsMessageId("shop", ids));
  const all = [rowsMessageId("shop", ["a", "b"]), ...others, messageId("shop", "a"), rowsMessageId("stop", ["a", "b"])];
  assert.equal(new Set(all).size, all.length);
});
