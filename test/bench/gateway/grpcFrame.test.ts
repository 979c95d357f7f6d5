import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcFrames } from "./grpcFrame.ts";

test("each message follows a zero byte and its length in four bytes", () => {
  const frames = grpcFrames(Uint8Array.of(7, 8), new Uint8Array(), Uint8Array.of(9));
  assert.deepEqual([...frames], [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9]);
});
