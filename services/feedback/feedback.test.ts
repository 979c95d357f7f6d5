import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { acceptedSubject, alertSubject, type Bus, modelSubject, predictionSubject } from "@millrace/bus";
import { connectDatabase } from "@millrace/db";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { FeedbackService, type ScoredPrediction } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type Outcome, OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { MadeBy, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import { startFeedback } from "./feedback.ts";

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2001, 0, 1);
const APP = "flight-delays";
const APP_FILE = readFileSync(new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8").replace(
  /min_new_labels: .*/,
  "min_new_labels: 1",
);

let nats: TestNats;
let postgres: TestPostgres;
let bus: Bus;
before(async () => {
  nats = await startNats();
  bus = await nats.connect();
  await applyApp(bus, APP_FILE);
});
beforeEach(async () => {
  await postgres?.[Symbol.asyncDispose]();
  postgres = await startPostgres();
  for (const stream of ["PREDICTIONS", "ACCEPTED", "OUTCOMES", "MODELS", "ALERTS", "TRAINING"]) {
    await bus.manager.streams.purge(stream);
  }
});
after(async () => {
  await bus[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

async function start(stack: AsyncDisposableStack) {
  const config = {
    bus: nats.as("feedback"),
    database: { url: postgres.url("feedback"), schema: "feedback" },
    grpcAddress: "127.0.0.1:0",
    jobTimeoutMs: 60_000,
  };
  const context = {
    logger: silentLogger,
    signal: new AbortController().signal,
    fail: (error: unknown) => assert.fail(error as Error),
  };
  const { rpc } = await startFeedback(stack, config, context);
  return stack.use(connectRpc(FeedbackService, rpc.address));
}

let unique = 0;
interface Asked {
  readonly id?: string;
  readonly traceparent?: string;
  readonly madeBy?: MadeBy;
}

const predict = (flight: string, hour: number, options: Asked = {}) => predictRows([flight], hour, [options]);

/** Predictions for several flights at once, in one message. */
async function predictRows(flights: readonly string[], hour: number, options: readonly Asked[]) {
  unique += 1;
  const predictions = flights.map((flight, row) => asked(flight, hour, row, options[row] ?? {}));
  await bus.publish(predictionSubject(APP), PredictionsSchema, create(PredictionsSchema, { predictions }), {
    id: `publication-${unique}`,
    traceparent: options[0]?.traceparent ?? "",
  });
}

function asked(flight: string, hour: number, row: number, options: Asked) {
  const id = options.id ?? `prediction-${unique}-${row}`;
  return {
    id,
    app: APP,
    requestId: id,
    joinKey: flight,
    occurredAt: timestampFromMs(START_MS + hour * HOUR_MS),
    featuresAsOf: timestampFromMs(START_MS + hour * HOUR_MS),
    probability: 0.25,
    modelVersion: `${APP}/1`,
    madeBy: options.madeBy ?? MadeBy.CHAMPION,
    features: [1.5, Number.NaN],
  };
}

interface Landing {
  readonly flight: string;
  readonly hour: number;
  readonly delay: number;
  /** When it became known, where that is later. */
  readonly knownHour?: number;
  readonly id?: string;
  /** Its place in the log; default: the next. */
  readonly sequence?: number;
}

async function land(...landings: readonly Landing[]): Promise<void> {
  unique += 1;
  const events = landings.map(({ flight, hour, delay, knownHour = hour, id, sequence }, index) => ({
    event: {
      id: id ?? `landing-${unique}-${index}`,
      app: APP,
      type: "flight.landed",
      occurredAt: timestampFromMs(START_MS + hour * HOUR_MS),
      fields: {
        flight_id: { kind: { case: "stringValue" as const, value: flight } },
        delay: { kind: { case: "doubleValue" as const, value: delay } },
      },
    },
    knownAt: timestampFromMs(START_MS + knownHour * HOUR_MS),
    logSequence: BigInt(sequence ?? unique * 1_000 + index),
  }));
  const batch = create(AcceptedEventsSchema, { batchId: `batch-${unique}`, events });
  await bus.publish(acceptedSubject(APP, "flight.landed", 0), AcceptedEventsSchema, batch, { id: batch.batchId });
}

/** Everything that was published has been handled and acknowledged. */
async function settled(): Promise<void> {
  const durables = [
    ["PREDICTIONS", "feedback-predictions"],
    ["ACCEPTED", `feedback-${APP}`],
    ["MODELS", "feedback-models"],
    ["ALERTS", "feedback-alerts"],
  ] as const;
  await waitFor(
    async () => {
      for (const [stream, durable] of durables) {
        const { num_pending, num_ack_pending } = await bus.manager.consumers.info(stream, durable);
        if (num_pending + num_ack_pending > 0) return false;
      }
      return true;
    },
    { deadlineMs: 20_000 },
  );
}

async function published<Message>(stream: string, read: (data: Uint8Array) => Message): Promise<Message[]> {
  const { state } = await bus.manager.streams.info(stream);
  const messages: Message[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const stored = await bus.manager.streams.getMessage(stream, { seq });
    if (stored !== null) messages.push(read(stored.data));
  }
  return messages;
}

const outcomes = async (): Promise<Outcome[]> =>
  (await published("OUTCOMES", (data) => fromBinary(OutcomesSchema, data).outcomes)).flat();

test("a label that comes after its prediction makes one outcome, with both traces", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  await predict("f1", 1, { id: "p1", traceparent });
  await settled();
  await land({ flight: "f1", hour: 3, delay: 20, id: "l1" });
  await settled();
  const [outcome, ...others] = await outcomes();
  assert.deepEqual(others, []);
  assert.equal(outcome?.predictionId, "p1");
  assert.equal(outcome?.label, 1);
  assert.equal(outcome?.labelEventId, "l1");
  assert.equal(outcome?.revision, 1);
  assert.equal(outcome?.predictionTraceparent, traceparent);
  const summary = await client.getSummary({ app: APP });
  assert.deepEqual(summary.predictions, { CHAMPION: 1n });
  assert.equal(summary.outcomes, 1n);
  assert.equal(summary.open, 0n);
  assert.equal(summary.unpublishedOutcomes, 0n);
  assert.equal(summary.medianLabelDelay && durationMs(summary.medianLabelDelay), 2 * HOUR_MS);
});

test("a label that comes before its prediction waits for it", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await land({ flight: "f1", hour: 3, delay: 0 });
  await settled();
  assert.equal((await client.getSummary({ app: APP })).outcomes, 0n);
  await predict("f1", 1);
  await settled();
  const [outcome] = await outcomes();
  assert.equal(outcome?.label, 0);
  assert.equal((await client.getSummary({ app: APP })).unmatchedLabels, 0n);
});

test("the same prediction and the same label, delivered twice, count once", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  for (let round = 0; round < 2; round += 1) {
    await predict("f1", 1, { id: "p1" });
    await land({ flight: "f1", hour: 3, delay: 20, id: "l1", sequence: 7 });
    await settled();
  }
  assert.deepEqual(
    (await outcomes()).map(({ predictionId, revision }) => [predictionId, revision]),
    [["p1", 1]],
  );
  const summary = await client.getSummary({ app: APP });
  assert.equal(summary.outcomes, 1n);
  assert.deepEqual(summary.predictions, { CHAMPION: 1n });
});

test("rows that come in one message are each stored, and count once in whatever company they come again", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  const traceparent = `00-${"c".repeat(32)}-${"d".repeat(16)}-01`;
  const canary = { id: "p3", madeBy: MadeBy.CANARY };
  await predictRows(["f1", "f2", "f3"], 1, [{ id: "p1", traceparent }, { id: "p2" }, canary]);
  await predictRows(["f3", "f2", "f4"], 1, [canary, { id: "p2" }, { id: "p4" }]);
  await predict("f1", 1, { id: "p1" });
  await settled();
  await land(...["f1", "f2", "f3", "f4"].map((flight) => ({ flight, hour: 3, delay: 20 })));
  await settled();
  const told = (await outcomes()).map(({ predictionId, revision }) => `${predictionId} ${revision}`);
  assert.deepEqual(told.sort(), ["p1 1", "p2 1", "p3 1", "p4 1"]);
  const traced = (await outcomes()).filter(({ predictionTraceparent }) => predictionTraceparent === traceparent);
  assert.deepEqual(traced.map(({ predictionId }) => predictionId).sort(), ["p1", "p2", "p3"]);
  assert.deepEqual((await client.getSummary({ app: APP })).predictions, { CHAMPION: 3n, CANARY: 1n });
});

test("a correction replaces the outcome and says what it replaces; an older word on it changes nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await predict("f1", 1);
  await settled();
  await land({ flight: "f1", hour: 3, delay: 20 });
  await settled();
  await land({ flight: "f1", hour: 4, delay: 0 });
  await settled();
  await land({ flight: "f1", hour: 2, delay: 50, knownHour: 5 });
  await settled();
  const revisions = (await outcomes()).map(({ revision, label, previousLabel }) => [revision, label, previousLabel]);
  assert.deepEqual(revisions, [
    [1, 1, undefined],
    [2, 0, 1],
  ]);
  assert.equal((await client.getSummary({ app: APP })).outcomes, 1n);
});

test("truth that comes after the wait does not count, and the prediction is never labelled", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await predict("f1", 1);
  await predict("f2", 30);
  await settled();
  await land({ flight: "f1", hour: 2, knownHour: 38, delay: 20 });
  await settled();
  const summary = await client.getSummary({ app: APP });
  assert.equal(summary.neverLabelled, 1n);
  assert.equal(summary.open, 1n);
  assert.deepEqual(await outcomes(), []);
});

test("two predictions for one flight both get its truth", async () => {
  await using stack = new AsyncDisposableStack();
  await start(stack);
  await predict("f1", 1, { id: "p1" });
  await predict("f1", 2, { id: "p2" });
  await settled();
  await land({ flight: "f1", hour: 3, delay: 20 });
  await settled();
  assert.deepEqual((await outcomes()).map(({ predictionId }) => predictionId).sort(), ["p1", "p2"]);
});

test("a shadow's prediction has no outcome, and counts nowhere; a canary's does", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await predict("f1", 1, { id: "p1", madeBy: MadeBy.CANARY });
  await predict("f1", 1, { id: "p1-shadow", madeBy: MadeBy.SHADOW });
  await settled();
  await land({ flight: "f1", hour: 3, delay: 20 });
  await settled();
  assert.deepEqual(
    (await outcomes()).map(({ predictionId }) => predictionId),
    ["p1"],
  );
  assert.deepEqual((await client.getSummary({ app: APP })).predictions, { CANARY: 1n });
});

test("labels of flights that nobody asked about are forgotten after the wait", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await predict("known", 1);
  await land({ flight: "never-asked", hour: 1, delay: 0 });
  await settled();
  assert.equal((await client.getSummary({ app: APP })).unmatchedLabels, 1n);
  await land({ flight: "another", hour: 60, delay: 0 });
  await settled();
  assert.equal((await client.getSummary({ app: APP })).unmatchedLabels, 1n);
});

test("what was committed and not published before a crash is published at the next start", async () => {
  {
    await using stack = new AsyncDisposableStack();
    await start(stack);
    await predict("f1", 1, { id: "p1" });
    await settled();
  }
  // As a process leaves it that is killed between commit and publication.
  const batch = create(OutcomesSchema, { batchId: "left-over", outcomes: [{ predictionId: "p1", label: 1 }] });
  {
    await using database = await connectDatabase({ url: postgres.url("feedback"), schema: "feedback" }, silentLogger);
    await database.query({
      text: "INSERT INTO outbox (id, subject, body) VALUES ($1, $2, $3)",
      values: [batch.batchId, `outcomes.${APP}`, toBinary(OutcomesSchema, batch)],
    });
  }
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  assert.deepEqual(
    (await outcomes()).map(({ predictionId }) => predictionId),
    ["p1"],
  );
  assert.equal((await client.getSummary({ app: APP })).unpublishedOutcomes, 0n);
});

test("labelled predictions are read in order of event time, with the features that were used", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await predict("late", 5);
  await predict("early", 1);
  await settled();
  await land({ flight: "late", hour: 6, delay: 20 }, { flight: "early", hour: 3, delay: 0 });
  await settled();
  const rows: ScoredPrediction[] = [];
  for await (const response of client.readOutcomes({ app: APP })) rows.push(...response.rows);
  assert.deepEqual(
    rows.map(({ joinKey, label, madeBy }) => [joinKey, label, madeBy]),
    [
      ["early", 0, "CHAMPION"],
      ["late", 1, "CHAMPION"],
    ],
  );
  assert.deepEqual(rows[0]?.features, [1.5, Number.NaN]);
});

test("an open drift alert about the champion asks for one training, whose end lets the next one come", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await land({ flight: "f1", hour: 0, delay: 0 });
  await settled();
  await promote(1, 0);
  await land({ flight: "f2", hour: 50, delay: 0 });
  await settled();
  await alert(AlertState.OPEN, 50);
  await settled();
  await alert(AlertState.UPDATED, 51);
  await settled();
  const jobs = await published("TRAINING", (data) => fromBinary(TrainingJobSchema, data));
  assert.deepEqual(
    jobs.map(({ id, trigger }) => [id, trigger]),
    [[`${APP}-${START_MS + 50 * HOUR_MS}`, "drift"]],
  );
  assert.match(jobs[0]?.reason ?? "", /hour has moved/);
  const { decisions } = await client.getSummary({ app: APP });
  assert.deepEqual(decisions.map(({ retrain }) => retrain).slice(0, 2), [false, true]);
  assert.match(decisions[0]?.reason ?? "", /has not ended/);
});

test("after a roll-back alerts about the version before count again, although event time stands still", async () => {
  await using stack = new AsyncDisposableStack();
  await start(stack);
  await land({ flight: "f1", hour: 0, delay: 0 });
  await settled();
  await promote(1, 0);
  await promote(2, 0);
  await land({ flight: "f2", hour: 80, delay: 0 });
  await settled();
  await alert(AlertState.OPEN, 80);
  await settled();
  const jobs = () => published("TRAINING", (data) => fromBinary(TrainingJobSchema, data));
  assert.deepEqual(await jobs(), []);
  await promote(1, 0, "rolled_back");
  assert.deepEqual(
    (await jobs()).map(({ trigger }) => trigger),
    ["drift"],
  );
});

async function promote(number: number, hour: number, what = "promoted"): Promise<void> {
  const event = create(ModelEventSchema, {
    id: `promoted-${number}-${hour}`,
    app: APP,
    what,
    model: { app: APP, number, asOf: timestampFromMs(START_MS + hour * HOUR_MS) },
    jobId: `job-${number}`,
    occurredAt: timestampFromMs(START_MS + hour * HOUR_MS),
  });
  unique += 1;
  await bus.publish(modelSubject(APP, what), ModelEventSchema, event, { id: `${event.id}-${unique}` });
  await settled();
}

async function alert(state: AlertState, hour: number): Promise<void> {
  const message = create(AlertSchema, {
    id: "alert-1",
    app: APP,
    monitor: "drift",
    state,
    title: "hour has moved",
    openedAt: timestampFromMs(START_MS + 50 * HOUR_MS),
    changedAt: timestampFromMs(START_MS + hour * HOUR_MS),
    modelVersion: `${APP}/1`,
  });
  unique += 1;
  await bus.publish(alertSubject(APP, "drift"), AlertSchema, message, { id: `alert-${unique}` });
}

test("an app that was never applied is not found", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await assert.rejects(client.getSummary({ app: "nothing" }), { code: "not_found", message: /no app "nothing"/ });
});
