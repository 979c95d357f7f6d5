import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, connectBus } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import { ROOT } from "@millrace/local";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MadeBy, type Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, type TestPlatform, waitFor } from "@millrace/test-harness";
import { deploy, storeConstantModel } from "./constantModel.ts";
import { APP, type Fields, flight, number, publishEvent, text } from "./flightEvents.ts";
import { rejectionOf } from "./rejections.ts";

const T0 = Date.UTC(2001, 0, 1, 8);
const MINUTE_MS = 60_000;
const APP_FILE = await readFile(join(ROOT, "deploy/apps/flight-delays/app.yaml"), "utf8");
const FEATURES = compileFeatures(parseApp(APP_FILE)).names;
/** No protobuf message begins like this. */
const JUNK = new Uint8Array([0xff, 1, 2]);

let system: TestPlatform;
let bus: Bus;
let gateway: RpcClient<typeof PredictionService>;
const stack = new AsyncDisposableStack();
before(async () => {
  system = stack.use(await startTestPlatform());
  bus = stack.use(await connectBus(system.platform.nats("admin"), "bad input test", silentLogger));
  gateway = stack.use(connectRpc(PredictionService, system.platform.grpc("inference-gateway")));
  await applyApp(bus, APP_FILE);
});
after(() => stack.disposeAsync());

/** A flight's departure; `minute` is event time. */
const departure = (id: string, minute: number, changes: Fields = {}) =>
  publishEvent(bus, {
    id,
    type: "flight.scheduled",
    occurredAtMs: T0 + minute * MINUTE_MS,
    fields: flight(id, changes),
  });

/** Asks at a minute of event time, once everything known before `knownMinute` counts. */
async function ask(id: string, minute: number, knownMinute?: number): Promise<Prediction> {
  const at = (of: number) => timestampFromMs(T0 + of * MINUTE_MS);
  const known = knownMinute === undefined ? {} : { featuresKnownBefore: at(knownMinute) };
  const request = { app: APP, requestId: id, occurredAt: at(minute), fields: flight(id), ...known };
  const { prediction } = await gateway.predict(request, { timeoutMs: 10_000 });
  assert.ok(prediction);
  return prediction;
}

const feature = ({ features }: Prediction, name: string): number | undefined => features[FEATURES.indexOf(name)];

const log = (service: string): Promise<string> => readFile(system.platform.home.logFile(service), "utf8");

/** Waits for a line of a service's log. */
const logged = (service: string, line: RegExp): Promise<true> =>
  waitFor(async () => line.test(await log(service)) || undefined, {
    deadlineMs: 20_000,
    everyMs: 100,
    what: `${service} to log ${line}`,
  });

function nothingCrashed(): void {
  for (const { name, restarts } of system.platform.supervisor.services) assert.equal(restarts, 0, `${name} crashed`);
}

test("events that break a rule are kept, each with its sentence, and the features count the good ones among them", async () => {
  const subject = `events.${APP}.flight.scheduled`;
  const lost = { id: "lost", type: "flight.lost", occurredAtMs: T0, fields: flight("lost") };
  const { origin: _, ...withoutOrigin } = flight("nowhere");
  const nowhere = { id: "nowhere", type: "flight.scheduled", occurredAtMs: T0, fields: withoutOrigin };
  const nobody = { ...nowhere, id: "nobody", app: "nobody", fields: flight("nobody") };
  await departure("good-1", 0);
  const bad: readonly (readonly [sequence: number, reason: RegExp])[] = [
    [(await bus.publishBytes(subject, JUNK, { id: "junk" })).seq, /^3 bytes are not a millrace\.event\.v1\.Event: /],
    [
      await publishEvent(bus, lost),
      /^flight-delays has no event "flight\.lost"; it has: flight\.landed, flight\.scheduled$/,
    ],
    [await publishEvent(bus, nobody), /^there is no app "nobody"; apply its file first$/],
    [await publishEvent(bus, nowhere), /^fields\.origin is required$/],
    [await departure("far", 1, { distance: number(7_000) }), /^fields\.distance must be at most 6000 mile, not 7000$/],
  ];
  await departure("good-2", 2);
  await departure("elsewhere", 10, { origin: text("JFK") });
  const { data: kept } = await rejectionOf(bus, "EVENTS", bad[0]?.[0] as number);
  assert.deepEqual([...kept], [...JUNK], "its bytes are as they came");
  for (const [sequence, reason] of bad) assert.match((await rejectionOf(bus, "EVENTS", sequence)).reason, reason);

  using eventLog = connectRpc(EventLogService, system.platform.grpc("ingestion"));
  const { accepted, rejected } = await eventLog.countEvents({ app: APP });
  assert.deepEqual(accepted, { "flight.scheduled": 3n });
  assert.deepEqual(rejected, { malformed: 1n, unknown_event_type: 1n, missing_field: 1n, field_out_of_range: 1n });
  const counted = await waitFor(async () => feature(await ask("", 11, 10), "origin_departures_1h"));
  assert.equal(counted, 2);
  nothingCrashed();
});

test("a question that breaks a rule is told all of them and leaves nothing behind", async () => {
  const stored = async (): Promise<number> => (await bus.manager.streams.info("PREDICTIONS")).state.messages;
  const before = await stored();
  await assert.rejects(gateway.predict({ app: "nobody", fields: flight("Q1") }, { timeoutMs: 5_000 }), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "not_found");
    assert.match(error.message, /"nobody".*; .*apply/);
    return true;
  });
  const fields = { ...flight("Q2"), origin: text("ord"), distance: number(7_000) };
  await assert.rejects(gateway.predict({ app: APP, fields }, { timeoutMs: 5_000 }), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "invalid_argument");
    assert.match(error.message, /fields\.origin must match \^\[A-Z\]\{3\}\$, not "ord"/);
    assert.match(error.message, /fields\.distance must be a finite number from 1 to 6000 mile, not 7000/);
    return true;
  });
  assert.equal(await stored(), before);
});

/** Runs `millrace apply`, and answers how it ended and what it said. */
function millraceApply(file: string): Promise<{ status: number; said: string }> {
  const environment = { ...process.env, MILLRACE_HOME: system.platform.home.path, NO_COLOR: "1" };
  const program = [join(ROOT, "deploy/local/millrace.ts"), "apply", file];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", ...program],
      { env: environment },
      (error, stdout, stderr) => resolve({ status: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    );
  });
}

test("millrace apply refuses a file that is wrong or does not fit what runs, names the place, and changes nothing", async () => {
  await using folder = new TemporaryFolder();
  const bucket = await bus.keyValue("apps");
  const before = (await bucket.get(APP))?.revision;
  const cases: readonly (readonly [name: string, text: string, said: RegExp])[] = [
    ["no-yaml", "app: a\nevents: {x: [}\n", /line 2: /],
    [
      "rule",
      APP_FILE.replace("holdout: 10%", "holdout: 95%"),
      /model\.holdout: must be greater than 0 and less than 0\.9; it is 0\.95/,
    ],
    [
      "expression",
      APP_FILE.replace('"request.distance"', '"request.delay"'),
      /features\.distance\.at_request: .*delay/,
    ],
    [
      "incompatible",
      APP_FILE.replaceAll(
        "distance: { type: DOUBLE, required: true, unit: mile, min: 1, max: 6000 }",
        "distance: { type: STRING, required: true }",
      ).replace(/ {2}distance:\n {4}at_request: "request\.distance"\n/, ""),
      /does not fit version 1 of flight-delays, which is in use:\n[^]*fields\.distance: cannot change from DOUBLE to STRING; add a field with another name/,
    ],
  ];
  for (const [name, text, expected] of cases) {
    const file = folder.join(`${name}.yaml`);
    await writeFile(file, text);
    const { status, said } = await millraceApply(file);
    assert.equal(status, 1, `${name}: ${said}`);
    assert.match(said, expected);
    assert.doesNotMatch(said, /^\s+at /m, "a sentence, not a stack");
  }
  assert.equal((await bucket.get(APP))?.revision, before);
});

test("bytes that are no message are kept aside on every stream, and the loop goes round as before", async () => {
  const streams: readonly (readonly [stream: string, subject: string, message: string])[] = [
    ["ACCEPTED", `accepted.${APP}.flight.landed.0`, "millrace.event.v1.AcceptedEvents"],
    ["PREDICTIONS", `predictions.${APP}`, "millrace.prediction.v1.Predictions"],
    ["OUTCOMES", `outcomes.${APP}`, "millrace.feedback.v1.Outcomes"],
    ["TRAINING", `training.jobs.${APP}`, "millrace.training.v1.TrainingJob"],
    ["MODELS", `models.${APP}.promoted`, "millrace.training.v1.ModelEvent"],
    ["ALERTS", `alerts.${APP}.drift`, "millrace.monitor.v1.Alert"],
  ];
  const sent = streams.map(async ([stream, subject, message]) => {
    const { seq } = await bus.publishBytes(subject, JUNK, { id: `junk on ${stream}` });
    const { reason, subject: origin } = await rejectionOf(bus, stream, seq);
    assert.ok(reason.includes(`3 bytes are not a ${message}: `), `${stream}: ${reason}`);
    assert.equal(origin, subject);
  });
  await Promise.all(sent);
  await logged("feature", /skipped \d+: 3 bytes are not a millrace\.event\.v1\.AcceptedEvents/);

  await departure("round", 20);
  await departure("clock", 30, { origin: text("JFK") });
  const prediction = await ask("round", 31, 30);
  assert.equal(feature(prediction, "origin_departures_1h"), 3);
  const landing = flight("round", { delay: number(20) });
  await publishEvent(bus, { id: "landed", type: "flight.landed", occurredAtMs: T0 + 180 * MINUTE_MS, fields: landing });
  const label = await waitFor(() => labelOf(prediction.id), { deadlineMs: 20_000, everyMs: 100, what: "the outcome" });
  assert.equal(label, 1);
  for (const [stream] of streams) {
    await waitFor(async () => (await unfinished(stream)).length === 0, { what: `nothing to be left of ${stream}` });
  }
  nothingCrashed();
});

/** The truth that feedback has joined to a prediction. */
async function labelOf(predictionId: string): Promise<number | undefined> {
  using feedback = connectRpc(FeedbackService, system.platform.grpc("feedback"));
  for await (const { rows } of feedback.readOutcomes({ app: APP })) {
    const row = rows.find((candidate) => candidate.predictionId === predictionId);
    if (row !== undefined) return row.label;
  }
  return undefined;
}

/** Consumers of a stream that have something left, by name. */
async function unfinished(stream: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, num_pending, num_ack_pending } of bus.manager.consumers.list(stream)) {
    if (num_pending + num_ack_pending > 0) names.push(name);
  }
  return names;
}

test("a champion whose file is corrupt never serves: the one before it goes on, also after kill -9, and the log says why", async () => {
  const [first, second] = [
    await storeConstantModel(bus, { app: APP, number: 1, featureNames: [...FEATURES] }, 0.25),
    await storeConstantModel(bus, { app: APP, number: 2, featureNames: [...FEATURES] }, 0.75),
  ];
  const served = (version: string) =>
    waitFor(async () => (await ask("", 40)).modelVersion === version, {
      deadlineMs: 20_000,
      what: `${version} to serve`,
    });
  await deploy(bus, first);
  await served(`${APP}/1`);
  const models = await bus.objects("models");
  await models.putBlob({ name: second.artefact }, new TextEncoder().encode("this is no model"));
  await deploy(bus, second, first);
  const sentence = `${APP}/2 is not adopted: The model file ${second.artefact} is corrupt: .*; train or upload it again`;
  await logged("inference-gateway", new RegExp(`${sentence}; ${APP}/1 goes on serving`));
  const during = await ask("", 41);
  assert.deepEqual([during.madeBy, during.modelVersion, during.probability], [MadeBy.CHAMPION, `${APP}/1`, 0.25]);

  await system.platform.supervisor.service("inference-gateway").crash();
  const after = await waitFor(() => ask("", 42));
  assert.deepEqual([after.madeBy, after.modelVersion], [MadeBy.PREVIOUS, `${APP}/1`]);
  assert.match(after.reason, new RegExp(sentence));

  await models.putBlob({ name: second.artefact }, second.file);
  await deploy(bus, second, first);
  await served(`${APP}/2`);
});

test("entries of the buckets that are no message stop nobody, not even at a start", async () => {
  await (await bus.keyValue("apps")).put("broken", JUNK);
  await (await bus.keyValue("deployments")).put("broken", JUNK);
  await Promise.all(system.platform.supervisor.services.map((service) => service.crash()));
  const restarted = system.platform.supervisor.services.map(({ restarts }) => restarts);
  for (const service of ["ingestion", "feature", "feedback", "monitor", "inference-gateway"]) {
    await logged(service, /broken.*3 bytes are not a millrace\.app\.v1\.AppVersion/);
  }
  await departure("after", 200);
  await departure("clock again", 210, { origin: text("JFK") });
  const prediction = await waitFor(() => ask("after", 211, 210), { what: "an answer after the crash" });
  assert.equal(feature(prediction, "origin_departures_1h"), 1);
  assert.equal(prediction.modelVersion, `${APP}/2`);
  assert.ok(prediction.featuresAsOf !== undefined && timestampMs(prediction.featuresAsOf) >= T0 + 210 * MINUTE_MS);
  assert.deepEqual(
    system.platform.supervisor.services.map(({ restarts }) => restarts),
    restarted,
    "nobody crashed again",
  );
});

test("an application that reports the truth is heard like an event, once, and told what is wrong with it", async () => {
  await applyApp(bus, APP_FILE.replace("wait: 36h", "wait: 36h\n  reports: true"));
  const prediction = await ask("told", 212);
  using feedback = connectRpc(FeedbackService, system.platform.grpc("feedback"));
  const label = {
    id: "from-billing-1",
    about: { case: "requestId" as const, value: "told" },
    value: 1,
    occurredAt: timestampFromMs(T0 + 300 * MINUTE_MS),
  };
  // Neither the app's new version nor the prediction need have arrived there yet.
  const report = () => feedback.report({ app: APP, label }).catch(() => undefined);
  await waitFor(report, { deadlineMs: 20_000, everyMs: 100, what: "feedback to take the report" });
  await assert.rejects(feedback.report({ app: APP, label: { ...label, value: 3 } }), { code: "invalid_argument" });
  await feedback.report({ app: APP, label });
  const told = await waitFor(async () => (await labelOf(prediction.id)) === 1, { deadlineMs: 20_000, everyMs: 100 });
  assert.ok(told);
  using eventLog = connectRpc(EventLogService, system.platform.grpc("ingestion"));
  assert.equal((await eventLog.countEvents({ app: APP })).accepted["label.reported"], 1n);
});
