import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { outcomeSubject } from "@millrace/bus";
import { connectDatabase } from "@millrace/db";
import type { ScoredPrediction } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { LabelQualitySchema } from "@millrace/proto/millrace/feedback/v1/label_quality_pb.ts";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { HOUR_MS, hourMs, type TestApp, TestFeedback } from "./feedbackForTests.ts";

let feedback: TestFeedback;
before(async () => {
  feedback = await TestFeedback.start();
});
after(() => feedback[Symbol.asyncDispose]());

/** The revisions that were published, as `prediction revision label`. */
const revisions = async (app: TestApp): Promise<string[]> =>
  (await app.outcomes()).map(({ predictionId, revision, label }) => `${predictionId} ${revision} ${label}`);

test("a label that comes after its prediction makes one outcome, with both traces", async () => {
  const app = await feedback.app();
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  await app.predict("f1", 1, { id: "p1", traceparent });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 20, id: "l1" });
  await app.settled();
  const [outcome, ...others] = await app.outcomes();
  assert.deepEqual(others, []);
  assert.equal(outcome?.predictionId, "p1");
  assert.equal(outcome?.label, 1);
  assert.equal(outcome?.labelEventId, "l1");
  assert.equal(outcome?.revision, 1);
  assert.equal(outcome?.predictionTraceparent, traceparent);
  const summary = await app.summary;
  assert.deepEqual(summary.predictions, { CHAMPION: 1n });
  assert.equal(summary.outcomes, 1n);
  assert.equal(summary.open, 0n);
  assert.equal(summary.unpublishedOutcomes, 0n);
  assert.equal(summary.medianLabelDelay && durationMs(summary.medianLabelDelay), 2 * HOUR_MS);
});

test("a label that comes before its prediction waits for it", async () => {
  const app = await feedback.app();
  await app.land({ flight: "f1", hour: 3, delay: 0 });
  await app.settled();
  const before = await app.summary;
  assert.deepEqual([before.outcomes, before.unmatchedLabels], [0n, 1n]);
  await app.predict("f1", 1, { id: "p1" });
  await app.settled();
  assert.deepEqual(await revisions(app), ["p1 1 0"]);
  assert.equal((await app.summary).unmatchedLabels, 0n);
});

test("the same prediction and the same label, delivered twice, count once", async () => {
  const app = await feedback.app();
  for (let round = 0; round < 2; round += 1) {
    await app.predict("f1", 1, { id: "p1" });
    await app.land({ flight: "f1", hour: 3, delay: 20, id: "l1", sequence: 7 });
    await app.settled();
  }
  assert.deepEqual(await revisions(app), ["p1 1 1"]);
  const summary = await app.summary;
  assert.equal(summary.outcomes, 1n);
  assert.deepEqual(summary.predictions, { CHAMPION: 1n });
});

test("rows that come in one message are each stored, and count once in whatever company they come again", async () => {
  const app = await feedback.app();
  const traceparent = `00-${"c".repeat(32)}-${"d".repeat(16)}-01`;
  const canary = { id: "p3", madeBy: MadeBy.CANARY };
  await app.predictRows(
    1,
    [
      ["f1", { id: "p1" }],
      ["f2", { id: "p2" }],
      ["f3", canary],
    ],
    traceparent,
  );
  await app.predictRows(1, [
    ["f3", canary],
    ["f2", { id: "p2" }],
    ["f4", { id: "p4" }],
  ]);
  await app.predict("f1", 1, { id: "p1" });
  await app.settled();
  await app.land(...["f1", "f2", "f3", "f4"].map((flight) => ({ flight, hour: 3, delay: 20 })));
  await app.settled();
  assert.deepEqual((await revisions(app)).sort(), ["p1 1 1", "p2 1 1", "p3 1 1", "p4 1 1"]);
  const traced = (await app.outcomes()).filter(({ predictionTraceparent }) => predictionTraceparent === traceparent);
  assert.deepEqual(traced.map(({ predictionId }) => predictionId).sort(), ["p1", "p2", "p3"]);
  assert.deepEqual((await app.summary).predictions, { CHAMPION: 3n, CANARY: 1n });
});

test("a correction replaces the outcome and says what it replaces; an older word on it changes nothing, nor does a repetition", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1);
  await app.settled();
  for (const landing of [
    { flight: "f1", hour: 3, delay: 20 },
    { flight: "f1", hour: 4, delay: 0 },
    { flight: "f1", hour: 2, delay: 50, knownHour: 5 },
    { flight: "f1", hour: 5, delay: 1 },
  ]) {
    await app.land(landing);
    await app.settled();
  }
  const told = (await app.outcomes()).map(({ revision, label, previousLabel }) => [revision, label, previousLabel]);
  assert.deepEqual(told, [
    [1, 1, undefined],
    [2, 0, 1],
  ]);
  const summary = await app.summary;
  assert.deepEqual([summary.outcomes, summary.contradictions], [1n, 0n]);
});

test("labels of one moment that disagree: the later in the log counts, whatever comes first, and the pair is found", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1, { id: "p1" });
  await app.predict("f2", 1, { id: "p2" });
  await app.land({ flight: "f1", hour: 3, delay: 0, id: "later", sequence: 12 });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 60, id: "earlier", sequence: 11 });
  await app.land(
    { flight: "f2", hour: 3, delay: 60, sequence: 13 },
    { flight: "f2", hour: 3, delay: 90, sequence: 14 },
  );
  await app.settled();
  assert.deepEqual((await revisions(app)).toSorted(), ["p1 1 0", "p2 1 1"]);
  assert.equal((await app.summary).contradictions, 1n);
  const { contradictions } = await feedback.client.listContradictions({ app: app.name });
  assert.deepEqual(
    contradictions.map(({ joinKey, counts, other }) => [
      joinKey,
      counts?.eventId,
      counts?.value,
      other?.eventId,
      other?.value,
    ]),
    [["f1", "later", 0, "earlier", 1]],
  );
});

test("an event dated years ahead closes nobody's window, and waits; the labels after it count as if it were not there", async () => {
  const app = await feedback.app();
  const years = 20 * 365 * 24;
  await app.predict("f1", 1, { id: "p1" });
  await app.predict("f2", 1, { id: "p2" });
  await app.settled();
  await app.land({ flight: "f1", hour: years, delay: 0 });
  await app.settled();
  // The stream's own clock has leapt with it.
  await app.land({ flight: "f1", hour: 3, knownHour: years, delay: 20 });
  await app.settled();
  const summary = await app.summary;
  assert.deepEqual([summary.open, summary.neverLabelled, summary.labelsAhead], [1n, 0n, 1n]);
  assert.deepEqual(await revisions(app), ["p1 1 1"]);
});

test("after a gap in a replay the clock follows once enough says so, and what was set aside counts", async () => {
  const app = await feedback.app();
  await app.predict("f0", 1);
  await app.settled();
  await app.land({ flight: "f1", hour: 500, delay: 20 });
  await app.settled();
  assert.equal((await app.summary).labelsAhead, 1n);
  for (let count = 0; count < 20; count += 1) await app.predict(`f${count + 1}`, 499, { id: `p${count + 1}` });
  await app.settled();
  const summary = await app.summary;
  assert.deepEqual([summary.labelsAhead, summary.neverLabelled], [0n, 1n]);
  assert.deepEqual(await revisions(app), ["p1 1 1"]);
});

test("truth that comes after the wait does not count, and the prediction is never labelled", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1);
  await app.predict("f2", 30);
  await app.settled();
  await app.land({ flight: "f1", hour: 2, knownHour: 38, delay: 20 });
  await app.settled();
  const summary = await app.summary;
  assert.equal(summary.neverLabelled, 1n);
  assert.equal(summary.open, 1n);
  assert.deepEqual(await app.outcomes(), []);
});

test("the app says how long before its prediction the truth may be known, and how long a correction counts", async () => {
  const app = await feedback.app(["wait: 36h", "wait: 36h\n  early: 1h\n  corrections: 40h"]);
  await app.land({ flight: "f1", hour: 3, delay: 20 });
  await app.settled();
  await app.predict("f1", 3.5, { id: "p1" });
  await app.predict("f1", 5, { id: "p2" });
  await app.settled();
  await app.land({ flight: "f1", hour: 30, delay: 0 });
  await app.settled();
  await app.land({ flight: "f1", hour: 44, delay: 20 });
  await app.settled();
  assert.deepEqual((await revisions(app)).toSorted(), ["p1 1 1", "p1 2 0", "p2 1 0", "p2 2 1"]);
});

test("two predictions for one flight both get its truth", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1, { id: "p1" });
  await app.predict("f1", 2, { id: "p2" });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 20 });
  await app.settled();
  assert.deepEqual((await revisions(app)).toSorted(), ["p1 1 1", "p2 1 1"]);
});

test("a shadow's prediction has no outcome, and counts nowhere; a canary's does", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1, { id: "p1", madeBy: MadeBy.CANARY });
  await app.predict("f1", 1, { id: "p1-shadow", madeBy: MadeBy.SHADOW });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 20 });
  await app.settled();
  assert.deepEqual(await revisions(app), ["p1 1 1"]);
  assert.deepEqual((await app.summary).predictions, { CANARY: 1n });
});

test("labels of flights that nobody asked about are forgotten after the wait", async () => {
  const app = await feedback.app();
  await app.predict("known", 1);
  await app.land({ flight: "never-asked", hour: 1, delay: 0 });
  await app.settled();
  assert.equal((await app.summary).unmatchedLabels, 1n);
  for (const hour of [30, 60]) {
    await app.land({ flight: `another-${hour}`, hour, delay: 0 });
    await app.settled();
  }
  assert.equal((await app.summary).unmatchedLabels, 2n);
});

test("a window whose wait is over is told once: its coverage, and how late its truth came", async () => {
  const app = await feedback.app(["window: 1d", "window: 6h"]);
  for (const flight of ["f1", "f2", "f3", "f4"]) await app.predict(flight, 1);
  await app.predict("f5", 7);
  await app.settled();
  await app.land({ flight: "f1", hour: 2, delay: 0 }, { flight: "f2", hour: 4, delay: 0 });
  await app.land({ flight: "f3", hour: 11, delay: 0 });
  await app.settled();
  const told = () => app.published("LABELS", (data) => fromBinary(LabelQualitySchema, data));
  for (const hour of [30, 41, 42, 43, 44]) {
    await app.land({ flight: `other-${hour}`, hour, delay: 0 });
    await app.settled();
  }
  const [window, ...others] = await told();
  assert.deepEqual(others, []);
  assert.deepEqual([window?.modelVersion, window?.predictions, window?.labelled], [`${app.name}/1`, 4n, 3n]);
  assert.deepEqual(
    [window?.from, window?.to].map((time) => time && timestampMs(time)),
    [hourMs(0), hourMs(6)],
  );
  const median = window?.delay?.p50 === undefined ? Number.NaN : durationMs(window.delay.p50) / HOUR_MS;
  assert.ok(Math.abs(median / 3 - 1) < 0.02, `${median} hours`);
  const { labels } = await app.summary;
  assert.deepEqual(
    labels.map(({ modelVersion, predictions, labelled }) => [modelVersion, predictions, labelled]),
    [[`${app.name}/1`, 4n, 3n]],
  );
});

test("what was held out of decisions is judged for itself, and its outcomes say which share they stand for", async () => {
  const app = await feedback.app(["wait: 36h", "wait: 36h\n  hold_out: 10%"]);
  await app.predict("f1", 1, { id: "p1", heldOut: 0.1, probability: 0.9 });
  await app.predict("f2", 1, { id: "p2", heldOut: 0.1, probability: 0.8 });
  await app.predict("f3", 1, { id: "p3", probability: 0.2 });
  await app.predict("f4", 1, { id: "p4", probability: 0.9 });
  await app.settled();
  await app.land(
    { flight: "f1", hour: 3, delay: 20 },
    { flight: "f2", hour: 3, delay: 0 },
    { flight: "f3", hour: 3, delay: 0 },
  );
  await app.settled();
  const { heldOut, others } = await app.summary;
  assert.deepEqual([heldOut?.predictions, heldOut?.labelled, heldOut?.labelMean], [2n, 2n, 0.5]);
  assert.ok(Math.abs((heldOut?.brier ?? Number.NaN) - (0.01 + 0.64) / 2) < 1e-12);
  assert.ok(Math.abs((heldOut?.logLoss ?? Number.NaN) + (Math.log(0.9) + Math.log(0.2)) / 2) < 1e-12);
  assert.deepEqual([others?.predictions, others?.labelled, others?.labelMean], [2n, 1n, 0]);
  const shares = (await app.outcomes()).map((outcome) => `${outcome.predictionId} ${outcome.heldOut}`);
  assert.deepEqual(shares.toSorted(), ["p1 0.1", "p2 0.1", "p3 undefined"]);
});

test("labelled predictions are read in order of event time, with the features that were used", async () => {
  const app = await feedback.app();
  await app.predict("late", 5);
  await app.predict("early", 1);
  await app.settled();
  await app.land({ flight: "late", hour: 6, delay: 20 }, { flight: "early", hour: 3, delay: 0 });
  await app.settled();
  const rows: ScoredPrediction[] = [];
  for await (const response of feedback.client.readOutcomes({ app: app.name })) rows.push(...response.rows);
  assert.deepEqual(
    rows.map(({ joinKey, label, madeBy }) => [joinKey, label, madeBy]),
    [
      ["early", 0, "CHAMPION"],
      ["late", 1, "CHAMPION"],
    ],
  );
  assert.deepEqual(rows[0]?.features, [1.5, Number.NaN]);
});

test("an app that was never applied is not found", async () => {
  await assert.rejects(feedback.client.getSummary({ app: "nothing" }), {
    code: "not_found",
    message: /no app "nothing"/,
  });
});

test("what was committed and not published before a crash is published at the next start", async () => {
  const app = await feedback.app();
  await app.predict("f1", 1, { id: "p1" });
  await app.settled();
  await feedback.stopService();
  // As a process leaves it that is killed between commit and publication.
  const batch = create(OutcomesSchema, { batchId: "left-over", outcomes: [{ predictionId: "p1", label: 1 }] });
  {
    await using database = await connectDatabase(feedback.config.database, silentLogger);
    await database.query({
      text: "INSERT INTO outbox (id, subject, body) VALUES ($1, $2, $3)",
      values: [batch.batchId, outcomeSubject(app.name), toBinary(OutcomesSchema, batch)],
    });
  }
  await feedback.startService();
  assert.deepEqual(
    (await app.outcomes()).map(({ predictionId }) => predictionId),
    ["p1"],
  );
  assert.equal((await app.summary).unpublishedOutcomes, 0n);
});
