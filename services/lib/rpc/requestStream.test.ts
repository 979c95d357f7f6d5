import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "@millrace/runtime";
import { RequestStream } from "./requestStream.ts";
import { MalformedMessage } from "./serviceDefinition.ts";

/** A stream whose caller sends numbers as fast as it is read. */
function counting() {
  let reads = 0;
  const requests = new RequestStream(() => {
    reads += 1;
    requests.push(reads);
  });
  return { requests, reads: () => reads };
}

test("requests come in order, and are read only a little ahead of whoever takes them", async () => {
  const { requests, reads } = counting();
  for (let expected = 1; expected <= 100; expected += 1) {
    assert.deepEqual(await requests.next(), { done: false, value: expected });
    assert.ok(reads() - expected <= 16, `${reads()} read, ${expected} taken`);
  }
  await requests.return();
  const readBefore = reads();
  assert.equal((await requests.next()).done, true);
  assert.equal(reads(), readBefore);
});

test("what has come before the end is taken before it", async () => {
  const requests = new RequestStream(() => undefined);
  requests.push("first");
  requests.end();
  assert.deepEqual(await requests.next(), { done: false, value: "first" });
  assert.equal((await requests.next()).done, true);
});

test("a request that could not be decoded, and a caller who has gone, end the stream with an error", async () => {
  const malformed = new RequestStream(() => undefined);
  const waiting = malformed.next();
  malformed.push(new MalformedMessage(new MillraceError("invalid_argument", "no message")));
  await assert.rejects(waiting, { code: "invalid_argument" });
  const left = new RequestStream(() => undefined);
  left.push("nobody wants an answer");
  left.abandon();
  await assert.rejects(left.next(), { code: "cancelled" });
});
