import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, connectBus, eventSubject } from "@millrace/bus";
import { ROOT } from "@millrace/local";
import { EventSchema, type ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, waitFor } from "@millrace/test-harness";
import { OtlpReceiver, type ReceivedSpan } from "./otlpReceiver.ts";

const APP = "flight-delays";
const EVENT_TRACE = "11111111111111111111111111111111";
const PREDICT_TRACE = "22222222222222222222222222222222";
const LANDING_TRACE = "33333333333333333333333333333333";
const T0 = Date.UTC(2001, 0, 1, 8);
const MINUTE_MS = 60_000;

const traceparent = (traceId: string): string => `00-${traceId}-00000000000000aa-01`;

/** The spans of a trace and, from there on, of every trace that links to it or to which one of its links leads. */
function connected(spans: readonly ReceivedSpan[], traceId: string): ReceivedSpan[] {
  const traces = new Set([traceId]);
  for (let before = 0; before !== traces.size; ) {
    before = traces.size;
    for (const span of spans) {
      if (span.links.some((link) => traces.has(link.traceId))) traces.add(span.traceId);
    }
  }
  return spans.filter((span) => traces.has(span.traceId));
}

const servicesOf = (spans: readonly ReceivedSpan[]): Set<string> => new Set(spans.map(({ service }) => service));

type Fields = Record<string, MessageInitShape<typeof ValueSchema>>;

function flight(id: string): Fields {
  return {
    flight_id: { kind: { case: "stringValue", value: id } },
    origin: { kind: { case: "stringValue", value: "ORD" } },
    destination: { kind: { case: "stringValue", value: "LAX" } },
    distance: { kind: { case: "doubleValue", value: 1_745 } },
  };
}

async function publish(
  bus: Bus,
  type: string,
  id: string,
  occurredAtMs: number,
  fields: Fields,
  trace = "",
): Promise<void> {
  const event = create(EventSchema, {
    id,
    app: APP,
    type,
    schemaVersion: 1,
    occurredAt: timestampFromMs(occurredAtMs),
    fields,
  });
  await bus.publish(eventSubject(APP, type), EventSchema, event, { id, traceparent: trace });
}

test("a trace leads from an event to its features, and from a prediction to its outcome and the monitor", async () => {
  await using receiver = await OtlpReceiver.start();
  await using system = await startTestPlatform({ environment: receiver.environment });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "tracing test", silentLogger);
  await applyApp(bus, await readFile(join(ROOT, "deploy/apps/flight-delays/app.yaml"), "utf8"));

  await publish(bus, "flight.scheduled", "F1-scheduled", T0, flight("F1"), traceparent(EVENT_TRACE));
  const both = (): boolean => {
    const services = servicesOf(connected(receiver.spans, EVENT_TRACE));
    return services.has("ingestion") && services.has("feature");
  };
  await waitFor(both, {
    deadlineMs: 30_000,
    what: "the event's trace to be seen at ingestion and at the feature service",
  });
  assert.deepEqual(servicesOf(connected(receiver.spans, EVENT_TRACE)), new Set(["ingestion", "feature"]));

  using gateway = connectRpc(PredictionService, platform.grpc("inference-gateway"));
  const request = { app: APP, requestId: "F1", occurredAt: timestampFromMs(T0), fields: flight("F1") };
  // The gateway may still be adopting the app.
  await waitFor(
    () => gateway.predict(request, { metadata: { traceparent: traceparent(PREDICT_TRACE) }, timeoutMs: 2_000 }),
    {
      deadlineMs: 20_000,
      what: "an answer to Predict",
    },
  );
  const landing = { ...flight("F1"), delay: { kind: { case: "doubleValue" as const, value: 20 } } };
  await publish(bus, "flight.landed", "F1-landed", T0 + 150 * MINUTE_MS, landing, traceparent(LANDING_TRACE));
  await waitFor(
    () => {
      const reached = connected(receiver.spans, PREDICT_TRACE);
      const monitored = new Set(reached.filter(({ service }) => service === "monitor").map(({ name }) => name));
      return (
        servicesOf(reached).has("feedback") && monitored.has("watch predictions") && monitored.has("watch outcomes")
      );
    },
    { deadlineMs: 30_000, what: "the prediction's trace to reach feedback and, with its outcome, the monitor" },
  );
  const reached = connected(receiver.spans, PREDICT_TRACE);
  const server = reached.find(({ service, traceId }) => service === "inference-gateway" && traceId === PREDICT_TRACE);
  assert.equal(server?.parentSpanId, "00000000000000aa", "the gateway's span continues the caller's trace");
  assert.ok(
    servicesOf(connected(receiver.spans, LANDING_TRACE)).has("feedback"),
    "the landing's trace reaches its outcome",
  );
});
