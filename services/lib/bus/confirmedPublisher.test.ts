import assert from "node:assert/strict";
import { test } from "node:test";
import { startNats } from "@millrace/test-harness";

test("a round is settled when the stream has stored all of it, whoever else writes", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await using other = await nats.connect();
  using publisher = bus.confirmedPublisher();
  for (let round = 0; round < 3; round += 1) {
    for (let message = 0; message < 500; message += 1) {
      publisher.publish(`accepted.app.type.${round}`, Buffer.from(String(message)));
      if (message % 100 === 0)
        await other.publishBytes("accepted.other.type.0", Buffer.from("x"), { id: `${round}/${message}` });
    }
    await publisher.settled(5_000);
    const { state } = await bus.manager.streams.info("ACCEPTED");
    assert.equal(state.messages, (round + 1) * 505);
    publisher.next();
  }
});

test("headers are sent, too", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  using publisher = bus.confirmedPublisher();
  publisher.publish("accepted.app.type.0", Buffer.from("x"), { "X-Own": "1" });
  await publisher.settled(5_000);
  assert.equal((await bus.manager.streams.getMessage("ACCEPTED", { seq: 1 }))?.header.get("X-Own"), "1");
});

test("a message that is refused, or that nobody acknowledges, fails its round, and not the next", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  using publisher = bus.confirmedPublisher();
  publisher.publish("accepted.app.type.0", Buffer.from("x"), { "Nats-Expected-Last-Sequence": "77" });
  await assert.rejects(publisher.settled(5_000), /a message was refused: .*wrong last sequence/);
  publisher.next();
  publisher.publish("no.stream.has.this", Buffer.from("x"));
  await assert.rejects(publisher.settled(200), /no stream takes its subject|1 of 1 messages were not acknowledged/);
  publisher.next();
  publisher.publish("accepted.app.type.0", Buffer.from("x"));
  await publisher.settled(5_000);
});
