import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { type Bus, done, type JsMsg, reject, retry } from "./mod.ts";

let nats: TestNats;
let bus: Bus;
before(async () => {
  nats = await startNats();
  bus = await nats.connect();
});
after(async () => {
  await bus[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

const unexpected = (error: unknown): void => assert.fail(error as Error);

async function publishEvents(type: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    await bus.publish(`events.app.${type}`, EventSchema, create(EventSchema, { id, app: "app", type }), { id });
  }
}

const idOf = (message: JsMsg): string => fromBinary(EventSchema, message.data).id;

async function unsettled(durable: string): Promise<number> {
  const { num_pending, num_ack_pending } = await bus.manager.consumers.info("EVENTS", durable);
  return num_pending + num_ack_pending;
}

test("messages come in stream order, and none is left once all are done", async () => {
  const ids = Array.from({ length: 500 }, (_, index) => `order-${index}`);
  await publishEvents("order", ids);
  const seen: string[] = [];
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "order",
    filter: "events.app.order",
    maxBatch: 64,
    onFailure: unexpected,
    handle: async (messages) => {
      seen.push(...messages.map(idOf));
      return done();
    },
  });
  await waitFor(async () => seen.length === ids.length && (await unsettled("order")) === 0, { deadlineMs: 10_000 });
  assert.deepEqual(seen, ids);
});

test("a rejected message keeps its bytes, its origin and the broken rules on REJECTED", async () => {
  await publishEvents("bad", ["bad-1"]);
  const violations = [{ field: "fields.delay", reason: "field_out_of_range", description: "max 2880\nminute" }];
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "bad",
    filter: "events.app.bad",
    maxBatch: 10,
    onFailure: unexpected,
    handle: async () => reject("schema", violations),
  });
  await waitFor(async () => (await unsettled("bad")) === 0 && (await rejectedCount("rejected.app.bad")) === 1, {
    deadlineMs: 10_000,
  });
  const kept = await bus.manager.streams.getMessage("REJECTED", { last_by_subj: "rejected.app.bad" });
  assert.equal(fromBinary(EventSchema, kept?.data ?? new Uint8Array()).id, "bad-1");
  assert.equal(kept?.header.get("Millrace-Subject"), "events.app.bad");
  assert.equal(kept?.header.get("Millrace-Reason"), "schema");
  assert.deepEqual(JSON.parse(kept?.header.get("Millrace-Violations") ?? ""), violations);
});

test("violations that a header cannot hold are counted, and their reasons are there all the same", async () => {
  await publishEvents("worse", ["worse-1", "worse-2"]);
  const broken = (count: number) => [
    ...Array.from({ length: count }, (_, index) => ({
      field: `fields.x${index}`,
      reason: "too_long",
      description: `${"😀".repeat(30)} ${index}`,
    })),
    { field: "fields.y", reason: "wrong_type", description: "y".repeat(2_000) },
  ];
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "worse",
    filter: "events.app.worse",
    maxBatch: 1,
    onFailure: unexpected,
    handle: async ([message]) => reject("r".repeat(9_000), broken(message && idOf(message) === "worse-1" ? 1 : 400)),
  });
  await waitFor(async () => (await rejectedCount("rejected.app.worse")) === 2, { deadlineMs: 10_000 });
  const headersOf = async (query: { seq: number } | { last_by_subj: string }) => {
    const kept = await bus.manager.streams.getMessage("REJECTED", query);
    const violations = JSON.parse(kept?.header.get("Millrace-Violations") ?? "") as { description: string }[];
    return { seq: kept?.seq ?? 0, header: kept?.header, violations };
  };
  const full = await headersOf({ last_by_subj: "rejected.app.worse" });
  assert.ok(full.violations.length > 10 && full.violations.length < 401);
  assert.equal(full.header?.get("Millrace-Omitted-Violations"), String(401 - full.violations.length));
  assert.equal(full.header?.get("Millrace-Reasons"), "too_long,wrong_type");
  assert.match(full.header?.get("Millrace-Reason") ?? "", /^r{7000,8000}…$/);
  const short = await headersOf({ seq: full.seq - 1 });
  assert.equal(short.violations.length, 2);
  assert.equal(short.header?.get("Millrace-Omitted-Violations"), "");
  assert.match(short.violations[1]?.description ?? "", /^y{999}…$/);
});

async function rejectedCount(subject: string): Promise<number> {
  const { state } = await bus.manager.streams.info("REJECTED", { subjects_filter: subject });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}

test("one message that cannot be handled does not stop the others of its batch", async () => {
  await publishEvents("poison", ["p-0", "poison", "p-2", "p-3"]);
  const handled = new Set<string>();
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "poison",
    filter: "events.app.poison",
    maxBatch: 10,
    onFailure: unexpected,
    handle: async (messages) => {
      if (messages.some((message) => idOf(message) === "poison")) throw new Error("cannot digest");
      for (const message of messages) handled.add(idOf(message));
      return done();
    },
  });
  await waitFor(async () => (await unsettled("poison")) === 0, { deadlineMs: 30_000 });
  assert.deepEqual([...handled].sort(), ["p-0", "p-2", "p-3"]);
  assert.equal(await rejectedCount("rejected.app.poison"), 1);
});

test("while a database is away messages wait, however long, and are not rejected", async () => {
  await publishEvents("away", ["a-0", "a-1"]);
  let tries = 0;
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "away",
    filter: "events.app.away",
    maxBatch: 1,
    onFailure: unexpected,
    handle: async () => {
      tries += 1;
      if (tries <= 6) throw new MillraceError("unavailable", "PostgreSQL is away");
      return done();
    },
  });
  await waitFor(async () => (await unsettled("away")) === 0, { deadlineMs: 60_000 });
  assert.equal(await rejectedCount("rejected.app.away"), 0);
});

test("a retry is delivered again after its delay", async () => {
  await publishEvents("again", ["r-0"]);
  const deliveries: number[] = [];
  await using _ = await bus.consume({
    stream: "EVENTS",
    durable: "again",
    filter: "events.app.again",
    maxBatch: 10,
    onFailure: unexpected,
    handle: async ([message]) => {
      deliveries.push(message?.info.deliveryCount ?? 0);
      return deliveries.length < 3 ? retry(10, "not yet") : done();
    },
  });
  await waitFor(async () => (await unsettled("again")) === 0, { deadlineMs: 10_000 });
  assert.deepEqual(deliveries, [1, 2, 3]);
});

test("a stopped consumer gives back what it has not handled, and another continues there", async () => {
  const ids = Array.from({ length: 100 }, (_, index) => `stop-${index}`);
  await publishEvents("stop", ids);
  const options = { stream: "EVENTS", durable: "stop", filter: "events.app.stop", maxBatch: 10, onFailure: unexpected };
  const first: string[] = [];
  {
    const begun = Promise.withResolvers<void>();
    await using _ = await bus.consume({
      ...options,
      handle: async (messages) => {
        first.push(...messages.map(idOf));
        begun.resolve();
        return done();
      },
    });
    await begun.promise;
  }
  const second: string[] = [];
  await using _ = await bus.consume({
    ...options,
    handle: async (messages) => {
      second.push(...messages.map(idOf));
      return done();
    },
  });
  await waitFor(async () => (await unsettled("stop")) === 0, { deadlineMs: 20_000 });
  assert.deepEqual([...first, ...second].sort(), ids.toSorted());
});

test("the same id published twice is stored once, and the second acknowledgement says where the first lies", async () => {
  const event = create(EventSchema, { id: "twice", app: "app", type: "twice" });
  const first = await bus.publish("events.app.twice", EventSchema, event, { id: "twice" });
  const second = await bus.publish("events.app.twice", EventSchema, event, { id: "twice" });
  assert.equal(first.duplicate, false);
  assert.equal(second.duplicate, true);
  assert.equal(second.seq, first.seq);
});
