import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Bus, decode } from "@millrace/bus";
import { PredictionSchema, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { PredictCounts } from "./metrics.ts";
import { Recorder } from "./recorder.ts";

const clock = { now: () => performance.now() };

const predictions = (from: number, count: number, reason = "") =>
  Array.from({ length: count }, (_, index) =>
    create(PredictionSchema, { id: `p${from + index}`, app: "shop", requestId: `r${from + index}`, reason }),
  );

/** Request ids of every message that is stored, in order. */
async function stored(bus: Bus): Promise<string[][]> {
  const { state } = await bus.manager.streams.info("PREDICTIONS");
  const messages: string[][] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await bus.manager.streams.getMessage("PREDICTIONS", { seq });
    if (message === null) continue;
    messages.push(decode(PredictionsSchema, message.data).predictions.map(({ requestId }) => requestId));
  }
  return messages;
}

test("predictions that are too large for one message go into several, and are known again all the same", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const counts = new PredictCounts();
  await using recorder = new Recorder({ bus, clock, logger: silentLogger, counts, maxUnconfirmed: 100 });
  const large = "x".repeat(200_000);
  const rows = predictions(0, 5, large);
  const first = await recorder.recordRows(rows, clock.now() + 5_000, "");
  assert.deepEqual(
    first.map(({ requestId, recorded, prediction }) => [requestId, recorded, prediction === rows[0]]),
    ["r0", "r1", "r2", "r3", "r4"].map((id, index) => [id, true, index === 0]),
  );
  const before = await stored(bus);
  assert.deepEqual(
    before.toSorted(([left = ""], [right = ""]) => left.localeCompare(right)),
    [["r0", "r1"], ["r2"], ["r3", "r4"]],
  );
  const others = rows.map((row) => ({ ...row, id: `${row.id} again` }));
  const again = await recorder.recordRows(others, clock.now() + 5_000, "");
  assert.deepEqual(
    again.map(({ prediction }) => prediction.id),
    ["p0", "p1", "p2", "p3", "p4"],
  );
  assert.deepEqual(await stored(bus), before);
  assert.equal(counts.duplicates, 5);
});

test("while the bus is away so many predictions wait as may, whatever the messages; the oldest are given up and counted", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const counts = new PredictCounts();
  await using recorder = new Recorder({ bus, clock, logger: silentLogger, counts, maxUnconfirmed: 10 });
  const { config } = await bus.manager.streams.info("PREDICTIONS");
  await bus.manager.streams.delete("PREDICTIONS");
  for (const from of [0, 4, 8]) {
    const answers = await recorder.recordRows(predictions(from, 4), clock.now() + 1_000, "");
    assert.deepEqual(
      answers.map(({ recorded }) => recorded),
      [false, false, false, false],
    );
  }
  assert.deepEqual([recorder.unconfirmed, counts.lostRecords, counts.unrecorded], [8, 4, 12]);
  await bus.manager.streams.add(config);
  await waitFor(() => recorder.unconfirmed === 0, { what: "what waits to be stored" });
  assert.deepEqual(
    (await stored(bus)).map((ids) => ids[0]),
    ["r4", "r8"],
  );
});
