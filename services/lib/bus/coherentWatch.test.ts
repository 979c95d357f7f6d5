import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { KeyValueWatch } from "./mod.ts";

const KEYS = 100;
const ROUNDS = 1_500;

test("a watch that falls behind a fast writer never calls itself coherent while an entry before the newest is missing", async () => {
  await using nats = await startNats();
  await using writer = await nats.connect();
  await using reader = await nats.connect();
  await writer.createKeyValue("features_fast", { history: 1, replicas: 1 });
  const rounds = new Map<string, number>();
  let coherentRound = 0;
  let wrong = 0;
  let entries = 0;
  await using _ = await KeyValueWatch.start(await reader.keyValue("features_fast"), {
    logger: silentLogger,
    onFailure: (error) => assert.fail(error as Error),
    onEntry: ({ key, value }) => {
      rounds.set(key, Buffer.from(value).readUInt32LE());
      entries += 1;
      if (entries % 500 === 0) stallMs(5);
    },
    onCoherent: () => {
      const end = rounds.get("end") ?? 0;
      for (let key = 0; key < KEYS; key += 1) if ((rounds.get(`key.${key}`) ?? 0) < end) wrong += 1;
      coherentRound = end;
    },
  });
  for (let round = 1; round <= ROUNDS; round += 1) {
    const value = Buffer.alloc(400);
    value.writeUInt32LE(round);
    for (let key = 0; key < KEYS; key += 1) writer.connection.publish(`$KV.features_fast.key.${key}`, value);
    await writer.jetstream.publish("$KV.features_fast.end", value);
  }
  await waitFor(() => coherentRound === ROUNDS, { deadlineMs: 30_000 });
  assert.equal(wrong, 0);
});

/** Holds the whole process up, as a garbage collection or a neighbour does. */
function stallMs(duration: number): void {
  const end = performance.now() + duration;
  while (performance.now() < end);
}
