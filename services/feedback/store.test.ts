import assert from "node:assert/strict";
import { test } from "node:test";
import { connectDatabase, migrate } from "@millrace/db";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { startPostgres } from "@millrace/test-harness";
import { migrations } from "./migrations/migrations.ts";
import { encodeFeatures } from "./predictionRow.ts";
import { OutcomeStore } from "./store.ts";

const BATCHES = 12;
const ROWS = 200;
const SCOPE = {
  app: "app",
  classes: [],
  waitMs: 1_000_000,
  earlyMs: 1_000_000,
  correctionsMs: 1_000_000,
  windowMs: 1_000,
};

test("the join costs a few index entries per row, also with plans that were made on empty tables", async () => {
  await using postgres = await startPostgres();
  const config = { url: postgres.url("feedback"), schema: "feedback" };
  {
    await using database = await connectDatabase({ ...config, maxConnections: 1 }, silentLogger);
    await migrate(database, migrations);
    const store = new OutcomeStore(database);
    let outcomes = 0;
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const keys = Array.from({ length: ROWS }, (_, index) => `f${batch * ROWS + index}`);
      await store.storePredictions(SCOPE, keys.map(prediction), batch);
      outcomes += (await store.storeLabels(SCOPE, keys.map(label))).outcomes;
    }
    assert.equal(outcomes, BATCHES * ROWS);
  }
  // A connection that has ended has reported what it read.
  await using database = await connectDatabase(config, silentLogger);
  const [row] = await database.query<{ read: number }>({
    text: `SELECT sum(idx_tup_read + coalesce(seq_tup_read, 0))::float8 AS read FROM pg_stat_user_tables t
      JOIN pg_stat_user_indexes i USING (relid) WHERE t.relname IN ('prediction', 'label')`,
  });
  const perRow = (row?.read ?? Number.NaN) / (BATCHES * ROWS);
  assert.ok(perRow > 0 && perRow < 10, `${perRow} entries were read for each prediction and its label`);
});

const prediction = (joinKey: string) => ({
  id: `prediction of ${joinKey}`,
  requestId: `prediction of ${joinKey}`,
  joinKey,
  predictedAtMs: 1,
  probability: 0.5,
  decision: "",
  modelVersion: "app/1",
  madeBy: MadeBy.CHAMPION,
  features: encodeFeatures([1, 2]),
  answer: null,
  traceparent: "",
});

const label = (joinKey: string, index: number) => ({
  joinKey,
  eventId: `label of ${joinKey}`,
  source: "event" as const,
  value: 1,
  occurredAtMs: 2,
  knownAtMs: 2,
  logSequence: BigInt(index),
  traceparent: "",
});
