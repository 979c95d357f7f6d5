import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CountEventsResponseSchema,
  EventLogService,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { connectRpc, implement, startRpcServer } from "./mod.ts";

const ANY = "127.0.0.1:0";

test("a unary call and a stream bring what the handlers answer", async () => {
  const service = implement(EventLogService, {
    countEvents: async ({ app }) => create(CountEventsResponseSchema, { accepted: { [app]: 7n } }),
    readEvents: async function* () {
      for (let index = 0; index < 1_000; index += 1) {
        yield create(ReadEventsResponseSchema, { events: [{ logSequence: BigInt(index) }] });
      }
    },
  });
  await using server = await startRpcServer({ address: ANY, services: [service], logger: silentLogger });
  using client = connectRpc(EventLogService, server.address);
  assert.deepEqual((await client.countEvents({ app: "flights" })).accepted, { flights: 7n });
  let expected = 0n;
  for await (const { events } of client.readEvents({ app: "flights" })) {
    assert.equal(events[0]?.logSequence, expected);
    expected += 1n;
  }
  assert.equal(expected, 1_000n);
});

test("an error keeps its code, text, violations and retry hint across the wire", async () => {
  const violation = { field: "app", reason: "unknown", description: 'no app "x"' };
  const service = implement(EventLogService, {
    countEvents: async () => {
      throw new MillraceError("resource_exhausted", "too much", { violations: [violation], retryAfterMs: 250 });
    },
  });
  await using server = await startRpcServer({ address: ANY, services: [service], logger: silentLogger });
  using client = connectRpc(EventLogService, server.address);
  await assert.rejects(client.countEvents({}), (error: MillraceError) => {
    assert.equal(error.code, "resource_exhausted");
    assert.equal(error.message, "too much");
    assert.equal(error.retryAfterMs, 250);
    assert.deepEqual(
      error.violations.map(({ field, reason, description }) => ({ field, reason, description })),
      [violation],
    );
    return true;
  });
});

test("an unexpected error does not show its text to the caller", async () => {
  const service = implement(EventLogService, {
    countEvents: async () => {
      throw new TypeError("password is hunter2");
    },
  });
  await using server = await startRpcServer({ address: ANY, services: [service], logger: silentLogger });
  using client = connectRpc(EventLogService, server.address);
  await assert.rejects(client.countEvents({}), (error: MillraceError) => {
    assert.equal(error.code, "internal");
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
});

test("a call that nobody answers ends at its deadline, and the handler is told", async () => {
  const told = Promise.withResolvers<void>();
  const service = implement(EventLogService, {
    countEvents: (_, { signal }) =>
      new Promise((resolve) =>
        signal.addEventListener("abort", () => {
          told.resolve();
          resolve(create(CountEventsResponseSchema));
        }),
      ),
  });
  await using server = await startRpcServer({ address: ANY, services: [service], logger: silentLogger });
  using client = connectRpc(EventLogService, server.address);
  await assert.rejects(client.countEvents({}, { timeoutMs: 50 }), { code: "deadline_exceeded" });
  await told.promise;
});

test("a method without a handler is unimplemented, and an address in use says so", async () => {
  await using server = await startRpcServer({
    address: ANY,
    services: [implement(EventLogService, {})],
    logger: silentLogger,
  });
  using client = connectRpc(EventLogService, server.address);
  await assert.rejects(client.countEvents({}), { code: "unimplemented" });
  await assert.rejects(startRpcServer({ address: server.address, services: [], logger: silentLogger }), {
    code: "failed_precondition",
    message: /cannot listen on 127\.0\.0\.1:\d+/,
  });
});
