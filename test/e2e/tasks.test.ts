import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, connectBus } from "@millrace/bus";
import { DATA_FROM_MS, type Flights, landedEvent, readFlights } from "@millrace/flight-delays";
import { type Platform, ROOT } from "@millrace/local";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MadeBy, type Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, waitFor } from "@millrace/test-harness";
import { publishFlights } from "../bench/ingest/publishFlights.ts";
import { flight, number, publishEvent } from "./flightEvents.ts";

const HOUR_MS = 3_600_000;
const TO_MS = DATA_FROM_MS + 12 * HOUR_MS;
const MINUTES = "flight-delay-minutes";
const CLASS = "flight-delay-class";

/** Applies an example app, for which a morning has to be enough, and publishes the flights as its events. */
async function begin(bus: Bus, platform: Platform, flights: Flights, app: string): Promise<void> {
  const file = await readFile(join(ROOT, "deploy/apps", app, "app.yaml"), "utf8");
  const edited = file
    .replace("wait: 36h", "wait: 2h")
    .replace(/gates:\n( {4}.*\n)+/, "gates: { min_rows: 100 }\n")
    .replace("candidates: [GBDT, ", "candidates: [");
  await applyApp(bus, edited);
  const published = await publishFlights(bus, flights, Infinity, app);
  using eventLog = connectRpc(EventLogService, platform.grpc("ingestion"));
  const stored = async (): Promise<number> =>
    Object.values((await eventLog.countEvents({ app })).accepted).reduce((sum, count) => sum + Number(count), 0);
  await waitFor(async () => (await stored()) === published, { deadlineMs: 60_000, what: `all events of ${app}` });
}

/** Trains, and resolves once there is a champion. */
async function train(platform: Platform, app: string): Promise<void> {
  using registry = connectRpc(RegistryService, platform.grpc("training"));
  const { jobId } = await registry.requestTraining({ app, reason: "the first model" });
  const models = await waitFor(
    async () => {
      const { models: all } = await registry.listModels({ app });
      return all.some((model) => model.jobId === jobId) ? all : undefined;
    },
    { deadlineMs: 60_000, what: `a model of ${app}` },
  );
  assert.equal(models[0]?.state, ModelState.CHAMPION, models[0]?.verdict.join("\n"));
}

/** When everything has happened. */
const lastLandingMs = (flights: Flights): number =>
  flights.departureMs.reduce((last, _, index) => {
    const { occurredAt } = landedEvent(flights, index);
    return Math.max(last, occurredAt === undefined ? 0 : timestampMs(occurredAt));
  }, 0);

/** Asks about a flight until the champion answers. */
async function predict(platform: Platform, app: string, atMs: number): Promise<Prediction> {
  using predictions = connectRpc(PredictionService, platform.grpc("inference-gateway"));
  const row = { app, requestId: `${app}-1`, occurredAt: timestampFromMs(atMs), fields: flight("f1") };
  // A question that was answered before gets that answer again.
  const probe = async () => (await predictions.predict({ ...row, requestId: "" }, { timeoutMs: 5_000 })).prediction;
  await waitFor(async () => (await probe())?.madeBy === MadeBy.CHAMPION, {
    deadlineMs: 30_000,
    what: `the champion of ${app} to answer`,
  });
  const { prediction } = await predictions.predict(row, { timeoutMs: 5_000 });
  assert.ok(prediction !== undefined);
  return prediction;
}

/** The flight lands an hour later, 70 minutes late; what comes of its prediction. */
async function outcomeOf(bus: Bus, platform: Platform, { app, id, occurredAt }: Prediction) {
  const landedMs = (occurredAt === undefined ? 0 : timestampMs(occurredAt)) + HOUR_MS;
  const fields = flight("f1", { delay: number(70) });
  await publishEvent(bus, { id: `${app}-f1-landed`, type: "flight.landed", occurredAtMs: landedMs, fields, app });
  using feedback = connectRpc(FeedbackService, platform.grpc("feedback"));
  return waitFor(
    async () => {
      for await (const { rows } of feedback.readOutcomes({ app })) {
        const row = rows.find(({ predictionId }) => predictionId === id);
        if (row !== undefined) return row;
      }
      return undefined;
    },
    { deadlineMs: 30_000, what: `an outcome of ${app}` },
  );
}

test("an app of numbers and one of classes go round the loop: events, training, champion, answer, truth, outcome", async () => {
  await using system = await startTestPlatform({
    services: ["ingestion", "feature", "training", "inference-gateway", "feedback"],
  });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "tasks test", silentLogger);
  const flights = await readFlights(DATA_FROM_MS, TO_MS);
  const loop = async (app: string) => {
    await begin(bus, platform, flights, app);
    await train(platform, app);
    const prediction = await predict(platform, app, lastLandingMs(flights));
    return { prediction, outcome: await outcomeOf(bus, platform, prediction) };
  };
  const [minutes, kind] = await Promise.all([loop(MINUTES), loop(CLASS)]);

  const { value = Number.NaN, interval } = minutes.prediction;
  assert.ok(interval !== undefined && interval.lower < value && value < interval.upper, `${value}`);
  assert.ok(value > -180 && value < 600 && interval.coverage === 0.8, `${value} ${interval.coverage}`);
  assert.equal(minutes.prediction.decision, value >= 90 ? "rebook" : value >= 15 ? "warn" : "on-time");
  assert.deepEqual([minutes.outcome.label, minutes.outcome.value], [70, value]);
  assert.deepEqual(minutes.outcome.interval, interval);

  const { predictedClass, classProbabilities, predictionSet, probability, decision } = kind.prediction;
  const place = ["on-time", "late", "very-late"].indexOf(predictedClass);
  assert.equal(classProbabilities[place], Math.max(...classProbabilities));
  assert.ok(Math.abs(classProbabilities.reduce((sum, share) => sum + share, 0) - 1) < 1e-5);
  assert.equal(probability, Math.max(...classProbabilities));
  assert.ok(predictionSet.includes(predictedClass));
  assert.equal(decision, probability < 0.5 ? "unsure" : predictedClass);
  const { label, labelClass } = kind.outcome;
  assert.deepEqual([label, labelClass, kind.outcome.predictedClass], [2, "very-late", predictedClass]);
  assert.deepEqual(kind.outcome.classProbabilities, classProbabilities);
});
