import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Bus, done, KeyValueWatch } from "@millrace/bus";
import { silentLogger } from "@millrace/runtime";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { NATS_USERS, type NatsUser } from "./mod.ts";

// The rights in deploy/nats/nats.conf, on a real server with that file: what each user's work needs is allowed, and what
// would let it speak for another is not.

let nats: TestNats;
const buses = new Map<NatsUser, Bus>();

before(async () => {
  nats = await startNats();
  for (const user of NATS_USERS) buses.set(user, await nats.connect(user));
});

after(async () => {
  for (const bus of buses.values()) await bus[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

const as = (user: NatsUser): Bus => buses.get(user) as Bus;

let ids = 0;
const publish = (user: NatsUser, subject: string): Promise<unknown> =>
  as(user).publishBytes(subject, new Uint8Array([1]), { id: `id-${(ids += 1)}`, timeoutMs: 1_000 });

/** Publishes as the administrator and receives it as the user, through a durable consumer, acknowledged. */
async function receives(user: NatsUser, stream: string, subject: string): Promise<void> {
  await publish("admin", subject);
  let got = 0;
  const failures: unknown[] = [];
  const durable = `${user}-all`;
  await using _ = await as(user).consume({
    stream,
    durable,
    filter: `${subject.split(".")[0]}.>`,
    maxBatch: 10,
    handle: async (messages) => {
      got += messages.length;
      return done();
    },
    onFailure: (error) => failures.push(error),
  });
  await waitFor(() => got > 0, { what: `${user} to receive from ${stream}` });
  await waitFor(async () => (await as("admin").manager.consumers.info(stream, durable)).num_ack_pending === 0, {
    what: "the acknowledgement",
  });
  assert.deepEqual(failures, []);
}

/** Follows a bucket and sees what is put by another. */
async function follows(user: NatsUser, bucket: string, writer: NatsUser): Promise<void> {
  const key = `${user}-sees`;
  await (await as(writer).keyValue(bucket)).put(key, "yes");
  const seen: string[] = [];
  const reader = await as(user).keyValue(bucket);
  await using _ = await KeyValueWatch.start(reader, {
    onEntry: (entry) => void seen.push(entry.key),
    onFailure: assert.fail,
    logger: silentLogger,
  });
  await waitFor(() => seen.includes(key));
  assert.equal((await reader.get(key))?.string(), "yes");
}

async function stores(user: NatsUser, store: string): Promise<void> {
  const objects = await as(user).objects(store);
  await objects.putBlob({ name: `${user}/one` }, new Uint8Array(300_000));
  await objects.putBlob({ name: `${user}/one` }, new Uint8Array(200_000));
  assert.equal((await objects.getBlob(`${user}/one`))?.length, 200_000);
}

async function loads(user: NatsUser, store: string): Promise<void> {
  await (await as("admin").objects(store)).putBlob({ name: `for/${user}` }, new Uint8Array(200_000));
  assert.equal((await (await as(user).objects(store)).getBlob(`for/${user}`))?.length, 200_000);
}

async function refused(user: NatsUser, subject: string): Promise<void> {
  await assert.rejects(publish(user, subject), /permission|did not confirm/i, `${user} must not publish ${subject}`);
}

test("a producer publishes events, and nothing else", async () => {
  await publish("producer", "events.shop.order.placed");
  for (const subject of ["accepted.shop.order.0", "predictions.shop", "models.shop.promoted", "$KV.apps.shop"]) {
    await refused("producer", subject);
  }
  await assert.rejects(receives("producer", "EVENTS", "events.shop.order"));
});

test("an application follows what the system says, and writes nothing", async () => {
  for (const [stream, subject] of [
    ["PREDICTIONS", "predictions.shop"],
    ["OUTCOMES", "outcomes.shop"],
    ["ALERTS", "alerts.shop.drift"],
    ["QUALITY", "quality.shop"],
    ["LABELS", "labels.shop"],
    ["REVIEW", "feedback.review.shop"],
  ] as const) {
    await receives("application", stream, subject);
    await refused("application", subject);
  }
  await refused("application", "events.shop.order");
});

test("ingestion takes events, and publishes accepted and rejected ones, and what they look like", async () => {
  await receives("ingestion", "EVENTS", "events.shop.order");
  await publish("ingestion", "accepted.shop.order.0");
  await publish("ingestion", "rejected.shop.order");
  await publish("ingestion", "quality.shop");
  await receives("ingestion", "REJECTED", "rejected.shop.order");
  const newest = await as("ingestion").manager.streams.getMessage("EVENTS", { last_by_subj: "events.shop.>" });
  assert.equal(newest?.subject, "events.shop.order");
  const reader = await as("ingestion").jetstream.consumers.get("EVENTS", { opt_start_seq: newest?.seq ?? 0 });
  assert.equal((await reader.next({ expires: 5_000 }))?.seq, newest?.seq);
  assert.equal(await reader.delete(), true);
  await follows("ingestion", "apps", "admin");
  for (const subject of ["events.shop.order", "outcomes.shop", "$KV.apps.shop", "$KV.deployments.shop"])
    await refused("ingestion", subject);
});

test("feature takes accepted events, makes its app's bucket, and keeps features, datasets and checkpoints", async () => {
  await receives("feature", "ACCEPTED", "accepted.shop.order.0");
  await follows("feature", "apps", "admin");
  const bucket = await as("feature").createKeyValue("features_shop", { history: 1 });
  await bucket.put("origin.JFK", "state");
  assert.equal((await bucket.get("origin.JFK"))?.string(), "state");
  await as("feature").createKeyValue("features_shop", { history: 1 });
  await follows("feature", "features_shop", "feature");
  await stores("feature", "datasets");
  await stores("feature", "checkpoints");
  for (const subject of [
    "accepted.shop.order.0",
    "$KV.apps.shop",
    "$KV.deployments.shop",
    "predictions.shop",
    "quality.shop",
  ])
    await refused("feature", subject);
  await assert.rejects(receives("feature", "PREDICTIONS", "predictions.shop"));
  await assert.rejects(receives("feature", "QUALITY", "quality.shop"));
});

test("a trainer takes jobs from a consumer made for it, reads datasets and brings models, and can do nothing else", async () => {
  const { makeWorkConsumer } = await import("@millrace/bus");
  const filter = "trainers.jobs.python";
  const shared = { silenceMs: 30_000, maxDeliveries: 3 };
  await makeWorkConsumer(as("training"), { stream: "TRAINERS", durable: "python", filter, ...shared });
  await publish("training", filter);
  // As a client does that may not ask about consumers.
  const { connection } = as("trainer");
  const inbox = `_INBOX_trainer.pull`;
  const answers = connection.subscribe(inbox, { max: 1, timeout: 5_000 });
  connection.publish("$JS.API.CONSUMER.MSG.NEXT.TRAINERS.python", JSON.stringify({ batch: 1, expires: 5e9 }), {
    reply: inbox,
  });
  for await (const message of answers) message.respond("+ACK");
  await waitFor(async () => (await as("admin").manager.consumers.info("TRAINERS", "python")).num_ack_pending === 0);
  await publish("trainer", "training.results.python");
  await loads("trainer", "datasets");
  const trained = await as("trainer").objects("trained");
  for (const bytes of [300_000, 200_000]) await trained.putBlob({ name: "model" }, new Uint8Array(bytes));
  for (const subject of [
    filter,
    "training.jobs.shop",
    "models.shop.promoted",
    "$O.models.x",
    "$O.datasets.x",
    "$KV.deployments.shop",
  ])
    await refused("trainer", subject);
  await assert.rejects(receives("trainer", "TRAINING", "training.jobs.shop"));
  await loads("training", "trained");
});

test("training takes jobs, reads datasets, stores models, promotes and says so", async () => {
  await receives("training", "TRAINING", "training.jobs.shop");
  await loads("training", "datasets");
  await stores("training", "models");
  await follows("training", "apps", "admin");
  await (await as("training").keyValue("deployments")).put("shop", "v1");
  await follows("training", "deployments", "training");
  await publish("training", "models.shop.promoted");
  await receives("training", "PREDICTIONS", "predictions.shop");
  await receives("training", "OUTCOMES", "outcomes.shop");
  assert.equal(await as("training").manager.consumers.delete("OUTCOMES", "training-all"), true);
  for (const subject of ["predictions.shop", "outcomes.shop", "$KV.apps.shop", "accepted.shop.order.0"])
    await refused("training", subject);
});

test("the gateway reads features, models and deployments, and publishes predictions, which it can look up", async () => {
  const features = await as("feature").createKeyValue("features_gate", { history: 1 });
  await features.put("origin.JFK", "state");
  await follows("inference-gateway", "features_gate", "feature");
  await follows("inference-gateway", "apps", "admin");
  await follows("inference-gateway", "deployments", "training");
  await loads("inference-gateway", "models");
  const { seq } = (await publish("inference-gateway", "predictions.gate")) as { seq: number };
  const stored = await as("inference-gateway").manager.streams.getMessage("PREDICTIONS", { seq });
  assert.equal(stored?.subject, "predictions.gate");
  for (const subject of ["$KV.features_gate.x", "$KV.deployments.gate", "outcomes.gate", "events.gate.x"])
    await refused("inference-gateway", subject);
  await assert.rejects(receives("inference-gateway", "EVENTS", "events.gate.order"));
});

test("feedback takes predictions, labels, alerts and models, and publishes outcomes, jobs, reviews and reported labels", async () => {
  await receives("feedback", "PREDICTIONS", "predictions.shop");
  await receives("feedback", "ACCEPTED", "accepted.shop.order.0");
  await receives("feedback", "ALERTS", "alerts.shop.drift");
  await receives("feedback", "MODELS", "models.shop.promoted");
  await follows("feedback", "apps", "admin");
  await follows("feedback", "deployments", "training");
  await publish("feedback", "outcomes.shop");
  await publish("feedback", "training.jobs.shop");
  await publish("feedback", "labels.shop");
  await publish("feedback", "feedback.review.shop");
  await publish("feedback", "events.shop.label.reported");
  for (const subject of [
    "events.shop.order",
    "predictions.shop",
    "alerts.shop.drift",
    "models.shop.promoted",
    "$KV.deployments.shop",
  ])
    await refused("feedback", subject);
});

test("monitor takes predictions, outcomes, data quality and models, and publishes alerts", async () => {
  await receives("monitor", "PREDICTIONS", "predictions.shop");
  await receives("monitor", "OUTCOMES", "outcomes.shop");
  await receives("monitor", "MODELS", "models.shop.promoted");
  await receives("monitor", "ALERTS", "alerts.shop.drift");
  await receives("monitor", "QUALITY", "quality.shop");
  await receives("monitor", "LABELS", "labels.shop");
  await follows("monitor", "apps", "admin");
  await follows("monitor", "deployments", "training");
  await publish("monitor", "alerts.shop.drift");
  for (const subject of [
    "outcomes.shop",
    "training.jobs.shop",
    "$KV.apps.shop",
    "models.shop.promoted",
    "quality.shop",
  ])
    await refused("monitor", subject);
});

test("nobody can read another's answers, and a wrong password gets nowhere", async () => {
  const failures: unknown[] = [];
  const spy = as("producer").connection.subscribe("_INBOX_ingestion.>", {
    callback: (error) => void failures.push(error),
  });
  await waitFor(() => failures.length > 0, { what: "the refusal" });
  spy.unsubscribe();
  const { connectBus } = await import("@millrace/bus");
  await assert.rejects(connectBus({ ...nats.as("producer"), password: "pwrong" }, "spy", silentLogger), {
    code: "unavailable",
  });
});
