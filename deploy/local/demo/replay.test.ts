import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, featureBucket, modelSubject, trainingJobSubject } from "@millrace/bus";
import { APP, type Flights, Timeline } from "@millrace/flight-delays";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import {
  PredictionService,
  PredictResponseSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { implement, startRpcServer } from "@millrace/rpc";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { Kvm } from "@nats-io/kv";
import { Predictor } from "./predictor.ts";
import { Progress } from "./progress.ts";
import { Publisher } from "./publisher.ts";
import { loadHistory, type ReplayParts, replayLive } from "./replay.ts";
import { Trainings } from "./trainings.ts";
import { FeatureWatermark } from "./watermark.ts";

const MINUTE_MS = 60_000;
const BEGIN_MS = Date.UTC(2001, 0, 1, 8);

/** One departure a minute, each landing 90 minutes after it. */
function flightsOf(count: number): Flights {
  return {
    count,
    firstRow: 0,
    departureMs: Float64Array.from({ length: count }, (_, index) => BEGIN_MS + index * MINUTE_MS),
    delayMinutes: new Float64Array(count),
    distanceMiles: new Float64Array(count).fill(480),
    origin: Array.from({ length: count }, () => "SFO"),
    destination: Array.from({ length: count }, () => "LAX"),
  };
}

/** The replay on a real bus, with a gateway and a feature service that the test plays. */
async function stage(stack: AsyncDisposableStack, count: number, answer: (id: string) => void = () => undefined) {
  const nats = stack.use(await startNats());
  const bus = stack.use(await nats.connect());
  const features = await new Kvm(bus.jetstream).create(featureBucket(APP));
  const asked: { id: string; atMs: number }[] = [];
  const service = implement(PredictionService, {
    predict: async ({ requestId, occurredAt }) => {
      answer(requestId);
      asked.push({ id: requestId, atMs: occurredAt === undefined ? Number.NaN : timestampMs(occurredAt) });
      return create(PredictResponseSchema, {
        recorded: true,
        prediction: { id: `p-${requestId}`, requestId, madeBy: MadeBy.CHAMPION, modelVersion: `${APP}/1` },
      });
    },
  });
  const gateway = stack.use(
    await startRpcServer({ address: "127.0.0.1:0", services: [service], logger: silentLogger }),
  );
  const flights = flightsOf(count);
  const progress = new Progress();
  const parts: ReplayParts = {
    flights,
    timeline: new Timeline(flights),
    publisher: new Publisher(bus, progress),
    predictor: stack.use(new Predictor(gateway.address, flights, progress)),
    watermark: stack.use(await FeatureWatermark.follow(bus, APP, silentLogger, progress)),
    trainings: stack.use(new Trainings(bus, APP, progress)),
    progress,
    signal: AbortSignal.timeout(30_000),
  };
  const featuresReach = (timeMs: number): Promise<number> =>
    features.put(
      "watermark.0",
      toBinary(WatermarkSchema, create(WatermarkSchema, { eventTime: timestampFromMs(timeMs) })),
    );
  return { bus, parts, asked, featuresReach };
}

const lastPublishedMs = async (bus: Bus): Promise<number> => {
  const message = await bus.manager.streams.getMessage("EVENTS", { last_by_subj: `events.${APP}.flight.scheduled` });
  const { occurredAt } = decode(EventSchema, message?.data ?? new Uint8Array());
  return occurredAt === undefined ? Number.NaN : timestampMs(occurredAt);
};

const eventually = (what: string, condition: () => boolean | Promise<boolean>): Promise<true> =>
  waitFor(async () => await condition(), { deadlineMs: 20_000, everyMs: 20, what });

test("history is published in order, each event once, and nothing after its end", async () => {
  await using stack = new AsyncDisposableStack();
  const { bus, parts } = await stage(stack, 120);
  await loadHistory(parts, BEGIN_MS + 100 * MINUTE_MS);
  // 100 departures, and the 10 of them that have landed by then.
  assert.equal(parts.progress.published, 110);
  assert.equal((await bus.manager.streams.info("EVENTS")).state.messages, 110);
  assert.equal(await lastPublishedMs(bus), BEGIN_MS + 99 * MINUTE_MS);
  assert.equal(parts.timeline.nextMs, BEGIN_MS + 100 * MINUTE_MS);
});

test("a prediction waits for its features, and events wait for the predictions", async () => {
  await using stack = new AsyncDisposableStack();
  const { bus, parts, asked, featuresReach } = await stage(stack, 60);
  await featuresReach(BEGIN_MS);
  const replay = replayLive(parts);
  // The first tile of five minutes can be asked for; the sixth departure needs the second tile.
  await eventually("five predictions", () => asked.length === 5);
  await eventually(
    "events up to 29 minutes ahead, by whole tiles",
    async () => (await lastPublishedMs(bus)) === BEGIN_MS + 29 * MINUTE_MS,
  );
  assert.equal(asked.length, 5);
  await featuresReach(BEGIN_MS + 20 * MINUTE_MS);
  await eventually("25 predictions", () => asked.length === 25);
  assert.ok(asked.every(({ atMs }) => atMs < BEGIN_MS + 25 * MINUTE_MS));
  await featuresReach(BEGIN_MS + 60 * MINUTE_MS);
  await replay;
  assert.equal(asked.length, 60);
  assert.equal(parts.progress.published, 120);
  assert.equal(parts.progress.predictionIds.size, 60);
});

test("a training holds the clock until it has ended", async () => {
  await using stack = new AsyncDisposableStack();
  const { bus, parts, asked, featuresReach } = await stage(stack, 10);
  const job = create(TrainingJobSchema, { id: "job", app: APP, trigger: "schedule" });
  bus.connection.publish(trainingJobSubject(APP), toBinary(TrainingJobSchema, job));
  await eventually("the job", () => parts.trainings.running.size === 1);
  await featuresReach(BEGIN_MS + 60 * MINUTE_MS);
  const replay = replayLive(parts);
  await eventually("the events", () => parts.progress.published === 10);
  assert.equal(asked.length, 0);
  const ended = create(ModelEventSchema, { app: APP, what: "rejected", jobId: "job", reason: "No better. Stays." });
  bus.connection.publish(modelSubject(APP, "rejected"), toBinary(ModelEventSchema, ended));
  await replay;
  assert.equal(asked.length, 10);
  assert.deepEqual(parts.progress.notes, ["model rejected: Stays."]);
});

test("a call that the gateway could not take is made again with the same request id", async () => {
  await using stack = new AsyncDisposableStack();
  const refused = new Set<string>();
  const { parts, asked, featuresReach } = await stage(stack, 10, (id) => {
    if (refused.has(id)) return;
    refused.add(id);
    throw new MillraceError("unavailable", "restarting");
  });
  await featuresReach(BEGIN_MS + 60 * MINUTE_MS);
  await replayLive(parts);
  assert.equal(parts.progress.retries, 10);
  assert.deepEqual(asked.map(({ id }) => id).sort(), [...refused].sort());
  assert.equal(parts.progress.latencies.count, 10);
});
