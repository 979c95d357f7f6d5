import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { acceptedSubject } from "@millrace/bus";
import { AcceptedEventsSchema, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { LabelReportSchema } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import type { MillraceError } from "@millrace/runtime";
import { hourMs, type TestApp, TestFeedback } from "./feedbackForTests.ts";

let feedback: TestFeedback;
before(async () => {
  feedback = await TestFeedback.start();
});
after(() => feedback[Symbol.asyncDispose]());

const reporting = () => feedback.app(["wait: 36h", "wait: 36h\n  reports: true"]);

const report = (
  id: string,
  about: MessageInitShape<typeof LabelReportSchema>["about"],
  changes: MessageInitShape<typeof LabelReportSchema> = {},
) => ({ id, about, value: 1, occurredAt: timestampFromMs(hourMs(3)), ...changes });

const joinKey = (value: string) => ({ case: "joinKey" as const, value });

/** What ingestion does with the events that were reported. */
async function accept(app: TestApp): Promise<void> {
  const events = await app.published("EVENTS", (data) => fromBinary(EventSchema, data));
  const batch = create(AcceptedEventsSchema, {
    batchId: `accepted-${app.name}-${events.length}`,
    events: events.map((event, index) => ({ event, knownAt: event.occurredAt as never, logSequence: BigInt(index) })),
  });
  await feedback.bus.publish(acceptedSubject(app.name, "label.reported", 0), AcceptedEventsSchema, batch, {
    id: batch.batchId,
  });
  await app.settled(`feedback-${app.name}_reported`);
}

const violationsOf = async (call: Promise<unknown>): Promise<string[]> => {
  const error = await call.then(
    () => assert.fail("it was taken"),
    (failure: unknown) => failure as MillraceError,
  );
  return [error.code, ...error.violations.map(({ field, reason }) => `${field} ${reason}`)];
};

test("a label is reported by request, prediction or join key, and becomes an outcome like any other", async () => {
  const app = await reporting();
  await app.predict("f1", 1, { id: "p1", requestId: "request-1" });
  await app.predict("f2", 1, { id: "p2" });
  await app.predict("f3", 1, { id: "p3" });
  await app.settled();
  const { client } = feedback;
  const by = {
    requestId: { case: "requestId" as const, value: "request-1" },
    id: { case: "predictionId" as const, value: "p2" },
  };
  const one = await client.report({ app: app.name, label: report("r1", by.requestId, { who: "billing" }) });
  assert.deepEqual([one.joinKey, one.eventId], ["f1", "report/r1"]);
  const { labels } = await client.reportBatch({
    app: app.name,
    labels: [report("r2", by.id, { value: 0 }), report("r3", joinKey("f3")), report("r4", joinKey("not asked yet"))],
  });
  assert.deepEqual(
    labels.map((label) => label.joinKey),
    ["f2", "f3", "not asked yet"],
  );
  await accept(app);
  const told = (await app.outcomes()).map((each) => `${each.predictionId} ${each.label} ${each.labelEventId}`);
  assert.deepEqual(told.toSorted(), ["p1 1 report/r1", "p2 0 report/r2", "p3 1 report/r3"]);
});

test("the same report again is the same event; its id with another truth is refused", async () => {
  const app = await reporting();
  const { client } = feedback;
  const label = report("r1", joinKey("f1"));
  for (let round = 0; round < 2; round += 1) await client.report({ app: app.name, label });
  assert.equal((await app.published("EVENTS", () => 1)).length, 1);
  await accept(app);
  await client.report({ app: app.name, label });
  assert.deepEqual(await violationsOf(client.report({ app: app.name, label: { ...label, value: 0 } })), [
    "already_exists",
    "label.id id_reused",
  ]);
});

test("a report that disagrees with the app's own event about one moment counts, and the pair is found", async () => {
  const app = await reporting();
  await app.predict("f1", 1, { id: "p1" });
  await app.land({ flight: "f1", hour: 3, delay: 0, id: "landing" });
  await app.settled();
  await feedback.client.report({ app: app.name, label: report("r1", joinKey("f1")) });
  await accept(app);
  assert.deepEqual(
    (await app.outcomes()).map(({ revision, label }) => [revision, label]),
    [
      [1, 0],
      [2, 1],
    ],
  );
  const { contradictions } = await feedback.client.listContradictions({ app: app.name });
  assert.deepEqual(
    contradictions.map(({ counts, other }) => [counts?.source, counts?.value, other?.source, other?.value]),
    [["report", 1, "event", 0]],
  );
});

test("of a batch with mistakes nothing is taken, and each mistake is named with its place", async () => {
  const app = await reporting();
  const { client } = feedback;
  const future = { occurredAt: timestampFromMs(Date.now() + 86_400_000) };
  const labels = [
    report("r1", joinKey("f1")),
    report("with space", joinKey("f1"), { value: 0.5 }),
    report("r3", { case: undefined }, future),
    { ...report("r4", joinKey("f".repeat(300))), occurredAt: undefined as never },
  ];
  assert.deepEqual(await violationsOf(client.reportBatch({ app: app.name, labels })), [
    "invalid_argument",
    "labels[1].id bad_id",
    "labels[1].value out_of_range",
    "labels[2].about missing",
    "labels[2].occurred_at future_dated",
    "labels[3].join_key too_long",
    "labels[3].occurred_at missing",
  ]);
  assert.equal((await app.published("EVENTS", () => 1)).length, 0);
  const many = Array.from({ length: 1_001 }, (_, index) => report(`m${index}`, joinKey("f1")));
  assert.deepEqual(await violationsOf(client.reportBatch({ app: app.name, labels: many })), [
    "invalid_argument",
    "labels too_many",
  ]);
});

test("a prediction that is not known here, and an app that takes no reports, are told", async () => {
  const app = await reporting();
  const unknown = report("r1", { case: "predictionId", value: "nobody's" });
  assert.deepEqual(await violationsOf(feedback.client.report({ app: app.name, label: unknown })), [
    "not_found",
    "label.prediction_id unknown_prediction",
  ]);
  const silent = await feedback.app();
  const call = feedback.client.report({ app: silent.name, label: report("r1", joinKey("f1")) });
  await assert.rejects(call, { code: "failed_precondition", message: /label\.reports: true/ });
});
