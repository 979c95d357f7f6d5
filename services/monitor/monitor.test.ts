import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, modelSubject, outcomeSubject, predictionSubject } from "@millrace/bus";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { type Alert, AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { MonitorService } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { MadeBy, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { DeploymentSchema, ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import { startMonitor } from "./monitor.ts";

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2001, 0, 1);
const APP = "flight-delays";
const VERSION = `${APP}/1`;
const FEATURES = ["distance", "hour"];
const APP_FILE = readFileSync(new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8").replace(
  /monitoring:\n(?: {2}.*\n)+/,
  "monitoring: {window: 6h, min_rows: 50, max_psi: 0.25, hold: 2, max_fallback_share: 20%}\n",
);

let nats: TestNats;
let postgres: TestPostgres;
let bus: Bus;
before(async () => {
  nats = await startNats();
  bus = await nats.connect();
  await applyApp(bus, APP_FILE);
  const deployment = create(DeploymentSchema, { app: APP, champion: championModel() });
  await (await bus.keyValue("deployments")).put(APP, toBinary(DeploymentSchema, deployment));
});
beforeEach(async () => {
  await postgres?.[Symbol.asyncDispose]();
  postgres = await startPostgres();
  for (const stream of ["PREDICTIONS", "OUTCOMES", "MODELS", "ALERTS"]) {
    for await (const { name } of bus.manager.consumers.list(stream)) await bus.manager.consumers.delete(stream, name);
    await bus.manager.streams.purge(stream);
  }
});
after(async () => {
  await bus[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** Distances in training lay evenly between 0 and 1000, hours between 0 and 24; answers between 0.2 and 0.6. */
function championModel() {
  const evenly = (name: string, from: number, to: number) => ({
    name,
    edges: [0.25, 0.5, 0.75].map((share) => from + share * (to - from)),
    shares: [0.25, 0.25, 0.25, 0.25],
  });
  const prediction = evenly("prediction", 0.2, 0.6);
  const features = [evenly("distance", 0, 1_000), evenly("hour", 0, 24)];
  return {
    app: APP,
    number: 1,
    featureNames: FEATURES,
    metrics: { log_loss: 0.5 },
    reference: { features, prediction, rows: 10_000n },
  };
}

async function start(stack: AsyncDisposableStack) {
  const config = {
    bus: nats.as("monitor"),
    database: { url: postgres.url("monitor"), schema: "monitor" },
    grpcAddress: "127.0.0.1:0",
  };
  const context = {
    logger: silentLogger,
    signal: new AbortController().signal,
    fail: (error: unknown) => assert.fail(error as Error),
  };
  const { rpc } = await startMonitor(stack, config, context);
  return stack.use(connectRpc(MonitorService, rpc.address));
}

let unique = 0;

interface Traffic {
  /** Which window of six hours. */
  readonly window: number;
  readonly rows?: number;
  /** Of the i-th of n rows. */
  readonly distance?: (share: number) => number;
  /** One of so many rows was not answered by the champion. */
  readonly fallbackEvery?: number;
  /** Of the others. */
  readonly madeBy?: MadeBy;
  /** So many rows share a message. */
  readonly together?: number;
  /** The first row's number, where the rows are to be known by it. */
  readonly firstId?: number;
}

/** A window's predictions, spread over it. */
async function predict(traffic: Traffic) {
  const {
    window,
    rows = 200,
    distance = (share) => share * 1_000,
    fallbackEvery = 0,
    madeBy,
    together = 1,
    firstId,
  } = traffic;
  const predictions = Array.from({ length: rows }, (_, index) => {
    unique += 1;
    const id = `p${firstId === undefined ? unique : firstId + index}`;
    const share = (index + 0.5) / rows;
    const at = timestampFromMs(START_MS + Math.floor((window + share) * 6 * HOUR_MS));
    const fallback = fallbackEvery > 0 && index % fallbackEvery === 0;
    return {
      id,
      app: APP,
      occurredAt: at,
      featuresAsOf: at,
      probability: 0.2 + 0.4 * share,
      modelVersion: fallback ? "" : VERSION,
      madeBy: fallback ? MadeBy.BASELINE : (madeBy ?? MadeBy.CHAMPION),
      features: [distance(share), (window * 6) % 24],
    };
  });
  const publications: Promise<unknown>[] = [];
  for (let from = 0; from < rows; from += together) {
    unique += 1;
    const message = create(PredictionsSchema, { predictions: predictions.slice(from, from + together) });
    publications.push(bus.publish(predictionSubject(APP), PredictionsSchema, message, { id: `m${unique}` }));
  }
  await Promise.all(publications);
  await settled();
}

async function outcomes(id: string, window: number, known: number, rows: readonly Partial<Row>[]): Promise<void> {
  const batch = create(OutcomesSchema, {
    batchId: id,
    outcomes: rows.map(({ probability = 0.4, label = 0, previousLabel }) => ({
      app: APP,
      modelVersion: VERSION,
      probability,
      label,
      ...(previousLabel === undefined ? {} : { previousLabel }),
      predictedAt: timestampFromMs(START_MS + window * 6 * HOUR_MS),
      knownAt: timestampFromMs(START_MS + known * HOUR_MS),
      madeBy: MadeBy.CHAMPION,
    })),
  });
  unique += 1;
  await bus.publish(outcomeSubject(APP), OutcomesSchema, batch, { id: `${id}-${unique}` });
  await settled();
}

interface Row {
  readonly probability: number;
  readonly label: number;
  readonly previousLabel: number;
}

async function settled(): Promise<void> {
  await waitFor(
    async () => {
      for (const stream of ["PREDICTIONS", "OUTCOMES", "MODELS"]) {
        const { num_pending, num_ack_pending } = await bus.manager.consumers.info(
          stream,
          `monitor-${stream.toLowerCase()}`,
        );
        if (num_pending + num_ack_pending > 0) return false;
      }
      return true;
    },
    { deadlineMs: 20_000 },
  );
}

async function alerts(): Promise<Alert[]> {
  const { state } = await bus.manager.streams.info("ALERTS");
  const all: Alert[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const stored = await bus.manager.streams.getMessage("ALERTS", { seq });
    if (stored !== null) all.push(fromBinary(AlertSchema, stored.data));
  }
  return all;
}

const short = (distance: number) => (share: number) => share * distance;

test("a shifted input opens one alert when it has held, and resolves when it is over", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  for (let window = 0; window < 2; window += 1) await predict({ window });
  for (let window = 2; window < 5; window += 1) await predict({ window, distance: short(100) });
  for (let window = 5; window < 9; window += 1) await predict({ window });
  const [opened, resolved, ...others] = await alerts();
  assert.deepEqual(others, []);
  assert.equal(opened?.state, AlertState.OPEN);
  assert.equal(opened?.monitor, "drift");
  assert.deepEqual(
    opened?.evidence.map(({ subject }) => subject),
    ["distance"],
  );
  assert.match(
    opened?.title ?? "",
    /^distance \(PSI \d.*limit 0.250\) of flight-delays\/1 .* since 2001-01-01 12:00 UTC/,
  );
  assert.deepEqual(opened?.causes, ["flight.scheduled.distance"]);
  const picture = opened?.evidence[0]?.picture;
  assert.deepEqual(picture?.reference, [0.25, 0.25, 0.25, 0.25]);
  assert.deepEqual(picture?.current, [1, 0, 0, 0]);
  assert.equal(resolved?.state, AlertState.RESOLVED);
  assert.equal(resolved?.id, opened?.id);
  const status = await client.getStatus({ app: APP });
  assert.equal(status.predictionsSeen, 1_800n);
  assert.equal(status.windows.length, 8);
  assert.equal(status.alerts[0]?.state, AlertState.RESOLVED);
  assert.ok((status.windows.at(-1)?.psi["distance"] ?? 1) < 0.01);
  const shifted = status.windows.find(
    ({ from }) => from !== undefined && timestampMs(from) === START_MS + 12 * HOUR_MS,
  );
  assert.equal(shifted?.distances["distance"]?.kolmogorovSmirnov, 0.75);
  // Before there is truth: answers evenly from 0.2 to 0.6: three quarters are right in 0.65 of the cases, the others in 0.55.
  assert.ok(Math.abs((shifted?.estimatedAccuracy?.value ?? 0) - 0.625) < 1e-3);
});

test("an alert that somebody has taken on says so ever after; a muted one is published as such", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  // Windows of their own: the broker would take an alert of the same id for one that it has.
  for (let window = 10; window < 13; window += 1) await predict({ window, distance: short(100) });
  const [opened] = await alerts();
  const id = opened?.id ?? "";
  await assert.rejects(client.acknowledgeAlert({ id, by: " " }), /by: is empty/);
  await assert.rejects(client.acknowledgeAlert({ id: "nothing", by: "me" }), { code: "not_found" });
  await client.acknowledgeAlert({ id, by: "ada", note: "a new fare system" });
  assert.equal((await client.getAlert({ id })).alert?.acknowledgement?.by, "ada");
  const twoDays = { seconds: 172_800n, nanos: 0 };
  await assert.rejects(client.muteAlerts({ app: APP, by: "ada" }), /duration: must be longer/);
  await assert.rejects(
    client.muteAlerts({ app: APP, monitor: "drfit", duration: twoDays, by: "ada" }),
    /"drfit" is none of drift/,
  );
  const { mute } = await client.muteAlerts({ app: APP, subject: "distance", duration: twoDays, by: "ada" });
  for (let window = 13; window < 17; window += 1) await predict({ window });
  const { state, acknowledgement, muted } = (await alerts()).at(-1) ?? {};
  assert.deepEqual([state, acknowledgement?.note, muted], [AlertState.RESOLVED, "a new fare system", true]);
  const status = await client.getStatus({ app: APP });
  assert.equal(status.alerts[0]?.acknowledgement?.by, "ada");
  assert.deepEqual(
    status.mutes.map((one) => one.id),
    [mute?.id],
  );
  await client.endMute({ id: mute?.id ?? "" });
  await assert.rejects(client.endMute({ id: mute?.id ?? "" }), { code: "not_found" });
});

test("a spike of one window raises no alert, nor does the hour, which is what it is", async () => {
  await using stack = new AsyncDisposableStack();
  await start(stack);
  await predict({ window: 0 });
  await predict({ window: 1, distance: short(100) });
  for (let window = 2; window < 5; window += 1) await predict({ window });
  assert.deepEqual(await alerts(), []);
});

test("an input that goes missing is an alert about data quality, not about drift", async () => {
  await using stack = new AsyncDisposableStack();
  await start(stack);
  for (let window = 0; window < 3; window += 1) await predict({ window, distance: () => Number.NaN });
  assert.deepEqual(
    (await alerts()).map(({ monitor }) => monitor),
    ["data_quality"],
  );
});

test("too many fallbacks are an alert", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  for (let window = 0; window < 3; window += 1) await predict({ window, fallbackEvery: 4 });
  assert.deepEqual(
    (await alerts()).map(({ monitor }) => monitor),
    ["fallback"],
  );
  const { windows } = await client.getStatus({ app: APP });
  assert.equal(windows[0]?.fallbackShare, 0.25);
});

test("predictions of shadows are not watched, and a canary's are no fallbacks", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  for (let window = 0; window < 4; window += 1) {
    await predict({ window, madeBy: MadeBy.CANARY });
    await predict({ window, distance: short(100), madeBy: MadeBy.SHADOW });
  }
  assert.deepEqual(await alerts(), []);
  const { predictionsSeen, windows } = await client.getStatus({ app: APP });
  assert.equal(predictionsSeen, 800n);
  assert.equal(windows[0]?.fallbackShare, 0);
});

test("what was counted before a restart still counts after it, and nothing counts twice", async () => {
  for (let window = 0; window < 4; window += 1) {
    {
      await using stack = new AsyncDisposableStack();
      const client = await start(stack);
      await predict({ window, distance: short(100) });
      const { predictionsSeen } = await client.getStatus({ app: APP });
      assert.equal(predictionsSeen, BigInt(200 * (window + 1)));
    }
    // As after a crash before the acknowledgement: everything comes again.
    if (window === 1) await bus.manager.consumers.delete("PREDICTIONS", "monitor-predictions");
  }
  assert.deepEqual(
    (await alerts()).map(({ monitor, state }) => [monitor, state]),
    [["drift", AlertState.OPEN]],
  );
});

test("rows that share a message count one by one, and once in whatever company they come again", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  const firstId = 1_000_000;
  await predict({ window: 0, rows: 100, together: 40, firstId });
  await predict({ window: 0, rows: 101, together: 30, firstId });
  await predict({ window: 0, rows: 1, firstId: firstId + 50 });
  const { predictionsSeen } = await client.getStatus({ app: APP });
  assert.equal(predictionsSeen, 101n);
});

test("a wrong model is an alert about performance once its truth is complete", async () => {
  await using stack = new AsyncDisposableStack();
  await start(stack);
  const wrong = Array.from({ length: 100 }, (_, index) => ({ probability: 0.1, label: index % 2 }));
  for (let window = 0; window < 12; window += 1) await outcomes(`b${window}`, window, window * 6 + 3, wrong);
  const [opened, ...others] = (await alerts()).filter(({ monitor }) => monitor === "performance");
  assert.deepEqual(others, []);
  assert.match(opened?.title ?? "", /log loss of flight-delays\/1 is 0\.\d+ above/);
});

test("the same batch of outcomes counts once, and a correction replaces what it corrects", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await outcomes("b1", 0, 1, [{ probability: 0.8, label: 0 }]);
  await outcomes("b1", 0, 1, [{ probability: 0.8, label: 0 }]);
  await outcomes("b2", 0, 2, [{ probability: 0.8, label: 1, previousLabel: 0 }]);
  await predict({ window: 2, rows: 1 });
  const { windows, outcomesSeen } = await client.getStatus({ app: APP });
  assert.equal(outcomesSeen, 1n);
  assert.equal(windows[0]?.outcomes, 1n);
  assert.ok(Math.abs((windows[0]?.logLoss ?? 0) + Math.log(0.8)) < 1e-12);
});

async function modelEvent(what: string, number: number, rolledBack: number, figures: Record<string, number> = {}) {
  const [reason, occurredAt] = [`${APP}/${rolledBack} did worse.`, timestampFromMs(START_MS)];
  const event = create(ModelEventSchema, {
    app: APP,
    what,
    model: { app: APP, number },
    reason,
    occurredAt,
    rolledBack,
    figures,
  });
  unique += 1;
  await bus.publish(modelSubject(APP, what), ModelEventSchema, event, { id: `model-${unique}` });
  await settled();
}

test("a champion that was rolled back by itself is an alert with the numbers, once, until the next is promoted", async () => {
  const figures = { loss_increase: 0.25, tolerance: 0.005 };
  {
    await using stack = new AsyncDisposableStack();
    await start(stack);
    await modelEvent("promoted", 2, 0);
    // By a person, who knows of it.
    await modelEvent("rolled_back", 1, 2);
    assert.deepEqual(await alerts(), []);
    await modelEvent("promoted", 2, 0);
    await modelEvent("rolled_back", 1, 2, figures);
  }
  // As after a crash before the acknowledgement: everything comes again.
  await bus.manager.consumers.delete("MODELS", "monitor-models");
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await settled();
  const [opened, ...others] = await alerts();
  assert.deepEqual(others, []);
  assert.deepEqual(
    [opened?.monitor, opened?.state, opened?.modelVersion, opened?.title],
    ["rollback", AlertState.OPEN, `${APP}/2`, `${APP}/2 did worse.`],
  );
  assert.deepEqual(
    opened?.evidence.map(({ subject, statistic, value, limit }) => [subject, statistic, value, limit]),
    [["log_loss", "log_loss_increase", 0.25, 0.005]],
  );
  await client.acknowledgeAlert({ id: opened?.id ?? "", by: "ada" });
  await modelEvent("promoted", 3, 0);
  const [, resolved, ...more] = await alerts();
  assert.deepEqual(more, []);
  assert.deepEqual([resolved?.id, resolved?.state], [opened?.id, AlertState.RESOLVED]);
  assert.match(resolved?.title ?? "", /^Resolved, flight-delays\/3 was promoted\. It was: flight-delays\/2 did worse/);
  assert.equal(resolved?.acknowledgement?.by, "ada");
});

test("an app that was never applied is not found", async () => {
  await using stack = new AsyncDisposableStack();
  const client = await start(stack);
  await assert.rejects(client.getStatus({ app: "nothing" }), { code: "not_found" });
});
