import { contextOf, linksTo, traceparentOf, within } from "@millrace/bus";
import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { RawEvent, ValidEvent } from "./checkedEvent.ts";

const tracer = trace.getTracer("@millrace/ingestion");

/**
 * The span of a sampled event's acceptance, in its producer's trace; the answer goes with the event from here on. Unsampled events
 * cost nothing.
 */
export function traceAcceptance(event: ValidEvent): string {
  const { traceparent } = event.raw;
  if (traceparent === "") return "";
  const attributes = {
    "millrace.app": event.app,
    "millrace.event.type": event.type,
    "millrace.event.id": event.id,
    "messaging.system": "nats",
    "messaging.destination.name": event.raw.subject,
  };
  const span = tracer.startSpan("ingestion accept", { kind: SpanKind.CONSUMER, attributes }, contextOf(traceparent));
  span.end();
  return traceparentOf(span);
}

/** Runs a batch's work in a span that links to the spans of its sampled messages. */
export async function traceBatch<Result>(
  events: readonly RawEvent[],
  work: (span: Span) => Promise<Result>,
): Promise<Result> {
  const links = linksTo(events.map(({ traceparent }) => traceparent));
  const attributes = { "messaging.system": "nats", "messaging.batch.message_count": events.length };
  const span = tracer.startSpan("ingestion batch", { kind: SpanKind.CONSUMER, links, attributes }, ROOT_CONTEXT);
  try {
    return await within(trace.setSpan(ROOT_CONTEXT, span), () => work(span));
  } catch (error) {
    span.recordException(error as Error);
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}
