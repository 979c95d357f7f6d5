import assert from "node:assert/strict";
import { after, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  CountEventsResponseSchema,
  EventLogService,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { SpanKind, SpanStatusCode, TraceFlags, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { connectRpc, implement, startRpcServer } from "./mod.ts";

type SpanProcessor = NonNullable<NonNullable<ConstructorParameters<typeof NodeSDK>[0]>["spanProcessors"]>[number];

const spans: Parameters<SpanProcessor["onEnd"]>[0][] = [];
const collector: SpanProcessor = {
  onStart: () => undefined,
  onEnd: (span) => void spans.push(span),
  forceFlush: async () => undefined,
  shutdown: async () => undefined,
};
process.env["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio";
process.env["OTEL_TRACES_SAMPLER_ARG"] = "0";
const sdk = new NodeSDK({ spanProcessors: [collector], metricReaders: [], logRecordProcessors: [] });
sdk.start();
after(() => sdk.shutdown());

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

/** What a log line, a message or a span that is made here would belong to. */
function place(): { readonly traceId: string | undefined; readonly sampled: boolean } {
  trace.getTracer("test").startSpan("inside").end();
  const { traceId, traceFlags = TraceFlags.NONE } = trace.getActiveSpan()?.spanContext() ?? {};
  return { traceId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
}

test("a call that its caller has sampled has a span, in which its handler runs; another has none, and neither has what it does", async () => {
  const active: ReturnType<typeof place>[] = [];
  const service = implement(EventLogService, {
    countEvents: async ({ app }) => {
      await Promise.resolve();
      active.push(place());
      if (app === "bad") throw new MillraceError("invalid_argument", "bad");
      if (app === "broken") throw new MillraceError("unavailable", "broken");
      return create(CountEventsResponseSchema);
    },
    readEvents: async function* () {
      active.push(place());
      yield create(ReadEventsResponseSchema);
    },
  });
  await using server = await startRpcServer({ address: "127.0.0.1:0", services: [service], logger: silentLogger });
  using client = connectRpc(EventLogService, server.address);
  const sampled = { metadata: { traceparent: `00-${TRACE}-${PARENT}-01` } };
  await client.countEvents({});
  await client.countEvents({}, { metadata: { traceparent: `00-${TRACE}-${PARENT}-00` } });
  assert.equal(spans.length, 0);
  await client.countEvents({}, sampled);
  await assert.rejects(client.countEvents({ app: "bad" }, sampled));
  await assert.rejects(client.countEvents({ app: "broken" }, sampled));
  for await (const _ of client.readEvents({}, sampled));
  assert.deepEqual(active.slice(1), [
    { traceId: TRACE, sampled: false },
    ...Array.from({ length: 4 }, () => ({ traceId: TRACE, sampled: true })),
  ]);
  assert.equal(active[0]?.sampled, false);
  const calls = spans.filter(({ name }) => name !== "inside");
  assert.equal(spans.length, 2 * calls.length);
  assert.deepEqual(
    calls.map(({ name }) => name),
    [...Array.from({ length: 3 }, () => "CountEvents"), "ReadEvents"].map(
      (name) => `millrace.ingestion.v1.EventLogService/${name}`,
    ),
  );
  for (const { kind, parentSpanContext, attributes } of calls) {
    assert.equal(kind, SpanKind.SERVER);
    assert.equal(parentSpanContext?.spanId, PARENT);
    assert.equal(attributes["rpc.system"], "grpc");
    assert.equal(attributes["rpc.service"], "millrace.ingestion.v1.EventLogService");
  }
  assert.deepEqual(
    calls.map(({ attributes, status: { code } }) => [attributes["rpc.grpc.status_code"], code]),
    [
      [status.OK, SpanStatusCode.UNSET],
      [status.INVALID_ARGUMENT, SpanStatusCode.UNSET],
      [status.UNAVAILABLE, SpanStatusCode.ERROR],
      [status.OK, SpanStatusCode.UNSET],
    ],
  );
});
