import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { KeyValueWatch } from "./mod.ts";

const unexpected = (error: unknown): void => assert.fail(error as Error);

test("a watch starts with what the bucket holds and then follows every change", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const apps = await bus.keyValue("apps");
  await apps.put("a", "1");
  await apps.put("b", "2");
  const seen: string[] = [];
  const onEntry = (entry: { key: string; operation: string }): number => seen.push(`${entry.operation} ${entry.key}`);
  await using _ = await KeyValueWatch.start(apps, {
    logger: silentLogger,
    onFailure: unexpected,
    onEntry: (entry) => void onEntry(entry),
  });
  assert.deepEqual(seen, ["PUT a", "PUT b"]);
  await apps.put("c", "3");
  await apps.delete("a");
  await waitFor(() => seen.length === 4, { deadlineMs: 5_000 });
  assert.deepEqual(seen.slice(2), ["PUT c", "DEL a"]);
});

test("a watch of an empty bucket starts at once, and one entry that fails does not end it", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const apps = await bus.keyValue("apps");
  const seen: string[] = [];
  await using _ = await KeyValueWatch.start(apps, {
    logger: silentLogger,
    onFailure: unexpected,
    onEntry: ({ key }) => {
      if (key === "bad") throw new Error("cannot adopt");
      seen.push(key);
    },
  });
  await apps.put("bad", "1");
  await apps.put("good", "1");
  await waitFor(() => seen.length === 1, { deadlineMs: 5_000 });
  assert.deepEqual(seen, ["good"]);
});
