import assert from "node:assert/strict";
import { test } from "node:test";
import { startNats } from "@millrace/test-harness";

const SUBJECT = "predictions.shop";
const bytes = (text: string): Uint8Array => Buffer.from(text);

test("a thousand messages at once are each confirmed with their own place in the stream", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("inference-gateway");
  using publisher = bus.pipelinedPublisher(5_000);
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const acks = await Promise.all(
    Array.from({ length: 1_000 }, (_, index) =>
      publisher.publish(SUBJECT, bytes(`${index}`), `id-${index}`, traceparent),
    ),
  );
  assert.equal(new Set(acks.map(({ seq }) => seq)).size, 1_000);
  const { stream, seq } = acks[77] ?? { stream: "", seq: 0 };
  const stored = await bus.manager.streams.getMessage(stream, { seq });
  assert.equal(stored?.string(), "77");
  assert.equal(stored?.header.get("traceparent"), traceparent);
});

test("a message with a known id is confirmed as a duplicate, at the place of the first", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("inference-gateway");
  using publisher = bus.pipelinedPublisher(5_000);
  const first = await publisher.publish(SUBJECT, bytes("first"), "same", "");
  const second = await publisher.publish(SUBJECT, bytes("second"), "same", "");
  assert.deepEqual([first.duplicate, second.duplicate, second.seq], [false, true, first.seq]);
});

test("a message that no stream takes, that nobody confirms, or whose publisher is closed, fails for itself", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await using other = await nats.connect();
  using publisher = bus.pipelinedPublisher(300);
  const nowhere = publisher.publish("no.stream.has.this", bytes("x"), "1", "");
  await assert.rejects(nowhere, { code: "unavailable", message: /no stream takes its subject/ });
  // Somebody listens, and says nothing.
  other.connection.subscribe("nobody.answers");
  await other.connection.flush();
  const unanswered = publisher.publish("nobody.answers", bytes("x"), "2", "");
  assert.equal((await publisher.publish(SUBJECT, bytes("x"), "3", "")).stream, "PREDICTIONS");
  await assert.rejects(unanswered, { code: "unavailable", message: /no acknowledgement in 300 ms/ });
  const left = publisher.publish("nobody.answers", bytes("x"), "4", "");
  publisher[Symbol.dispose]();
  await assert.rejects(left, { code: "unavailable", message: /closed/ });
});
