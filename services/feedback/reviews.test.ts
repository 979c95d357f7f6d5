import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { acceptedSubject } from "@millrace/bus";
import { AcceptedEventsSchema, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { ReviewReason, ReviewSchema } from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import { HOUR_MS, hourMs, type TestApp, TestFeedback } from "./feedbackForTests.ts";

let wallMs = Date.UTC(2026, 0, 1);
let feedback: TestFeedback;
before(async () => {
  feedback = await TestFeedback.start({ now: () => wallMs });
});
after(() => feedback[Symbol.asyncDispose]());

const reviewing = (rules = "per_day: 3") =>
  feedback.app(["wait: 36h", `wait: 36h\n  review: { from: 40%, to: 60%, expires: 24h, ${rules} }`]);

const listed = async (app: TestApp, who = ""): Promise<string[]> =>
  (await feedback.client.listReviews({ app: app.name, who })).reviews.map(({ predictionId }) => predictionId);

test("uncertain predictions are offered, the most uncertain first, up to the day's number, and told on the bus", async () => {
  const app = await reviewing();
  for (const [id, probability] of [
    ["sure", 0.9],
    ["near", 0.55],
    ["middle", 0.5],
  ] as const)
    await app.predict(id, 1, { id, probability });
  await app.settled();
  for (const id of ["third", "too many"]) await app.predict(id, 2, { id, probability: 0.41 });
  await app.predict("next day", 25, { id: "next day", probability: 0.44 });
  await app.settled();
  assert.deepEqual(await listed(app), ["middle", "near", "next day", "third"]);
  const told = await app.published("REVIEW", (data) => fromBinary(ReviewSchema, data));
  assert.deepEqual(told.map(({ predictionId }) => predictionId).toSorted(), ["middle", "near", "next day", "third"]);
  assert.equal(told[0]?.expiresAt && timestampMs(told[0].expiresAt) - hourMs(1), 24 * HOUR_MS);
});

test("a share of the uncertain ones is always the same ones", async () => {
  const app = await reviewing("per_day: 1000, share: 50%");
  const ids = Array.from({ length: 40 }, (_, index) => `p${index}`);
  for (let round = 0; round < 2; round += 1) {
    for (const id of ids) await app.predict(id, 1, { id, probability: 0.5 });
    await app.settled();
    const count = (await listed(app)).length;
    assert.ok(count > 8 && count < 32, `${count} of 40`);
    if (round === 1) assert.equal((await app.published("REVIEW", () => 1)).length, count);
  }
});

test("what one person has in hand another does not get, until the lease is over", async () => {
  const app = await reviewing();
  for (const id of ["p1", "p2"]) await app.predict(id, 1, { id, probability: 0.5 });
  await app.settled();
  const { client } = feedback;
  const first = await client.listReviews({ app: app.name, who: "Ada", max: 1, leaseSeconds: 60 });
  assert.deepEqual(
    first.reviews.map(({ predictionId, leasedBy }) => [predictionId, leasedBy]),
    [["p1", "Ada"]],
  );
  assert.deepEqual(await listed(app, "Grace"), ["p2"]);
  const answer = { app: app.name, predictionId: "p1", value: 1, who: "Grace" };
  await assert.rejects(client.answerReview(answer), { code: "failed_precondition", message: /Ada has it in hand/ });
  wallMs += 61_000;
  assert.deepEqual(await listed(app, "Grace"), ["p1", "p2"]);
});

test("an answer comes back as a label, once, with its source; another answer is refused", async () => {
  const app = await reviewing();
  await app.predict("f1", 1, { id: "p1", probability: 0.5 });
  await app.land({ flight: "other", hour: 4, delay: 0 });
  await app.settled();
  const { client } = feedback;
  const answer = { app: app.name, predictionId: "p1", value: 1, who: "Ada", note: "seen on the radar" };
  const [one, two] = [await client.answerReview(answer), await client.answerReview(answer)];
  assert.deepEqual(one, two);
  await assert.rejects(client.answerReview({ ...answer, value: 0 }), { code: "already_exists", message: /Ada .*: 1/ });
  await assert.rejects(client.answerReview({ ...answer, value: 7 }), { code: "invalid_argument", message: /0 or 1/ });
  await assert.rejects(client.answerReview({ ...answer, predictionId: "p9" }), { code: "not_found" });
  assert.deepEqual(await listed(app), []);
  const events = await app.published("EVENTS", (data) => fromBinary(EventSchema, data));
  assert.deepEqual(
    events.map(({ id, type, occurredAt }) => [id, type, occurredAt && timestampMs(occurredAt)]),
    [["review/p1", "label.reported", hourMs(4)]],
  );
  await accepted(app, events);
  assert.deepEqual(
    (await app.outcomes()).map(({ predictionId, label }) => [predictionId, label]),
    [["p1", 1]],
  );
});

test("a prediction whose labels contradict each other is disputed, and comes first; one whose truth came is asked about no more", async () => {
  const app = await reviewing("per_day: 10");
  await app.predict("f1", 1, { id: "p1", probability: 0.9 });
  await app.predict("f2", 1, { id: "p2", probability: 0.5 });
  await app.predict("f3", 1, { id: "p3", probability: 0.5 });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 0 }, { flight: "f1", hour: 3, delay: 60 });
  await app.land({ flight: "f3", hour: 3, delay: 0 });
  await app.settled();
  const { reviews } = await feedback.client.listReviews({ app: app.name });
  assert.deepEqual(
    reviews.map(({ predictionId, reason }) => [predictionId, reason]),
    [
      ["p1", ReviewReason.DISPUTED],
      ["p2", ReviewReason.UNCERTAIN],
    ],
  );
});

test("nobody is asked about a prediction that has expired, nor can answer it", async () => {
  const app = await reviewing();
  await app.predict("f1", 1, { id: "p1", probability: 0.5 });
  await app.predict("f2", 26, { id: "p2", probability: 0.1 });
  await app.settled();
  assert.deepEqual(await listed(app), []);
  const answer = { app: app.name, predictionId: "p1", value: 1, who: "Ada" };
  await assert.rejects(feedback.client.answerReview(answer), { code: "failed_precondition", message: /expired/ });
});

/** What ingestion does with the events that were published. */
async function accepted(app: TestApp, events: ReturnType<typeof create<typeof EventSchema>>[]): Promise<void> {
  const batch = create(AcceptedEventsSchema, {
    batchId: `accepted-${app.name}`,
    events: events.map((event, index) => ({
      event,
      knownAt: event.occurredAt ?? timestampFromMs(0),
      logSequence: BigInt(index),
    })),
  });
  const subject = acceptedSubject(app.name, "label.reported", 0);
  await feedback.bus.publish(subject, AcceptedEventsSchema, batch, { id: batch.batchId });
  await app.settled(`feedback-${app.name}_reported`);
}
