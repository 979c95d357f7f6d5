import type { Bus, JsMsg, RunningConsumer } from "@millrace/bus";
import { type IngestParts, ingest } from "./ingest.ts";
import { readHeaders } from "./messageHeaders.ts";
import type { RawEvent } from "./rawEvent.ts";

export interface EventConsumerOptions {
  readonly maxBatch: number;
  readonly ackWaitMs: number;
  readonly onFailure: (error: unknown) => void;
}

/** A batch costs a transaction with its commit, some 2 ms, whatever is in it. */
const LINGER_MS = 5;

/** Reads every app's raw events. Replicas share the durable consumer; the log's head puts their batches in order. */
export function consumeEvents(
  bus: Bus,
  parts: IngestParts,
  { maxBatch, ackWaitMs, onFailure }: EventConsumerOptions,
): Promise<RunningConsumer> {
  return bus.consume({
    stream: "EVENTS",
    durable: "ingestion-all",
    filter: "events.>",
    maxBatch,
    ackWaitMs,
    lingerMs: LINGER_MS,
    onFailure,
    handle: (messages) => ingest(messages.map(rawEventOf), parts),
  });
}

export function rawEventOf(message: JsMsg): RawEvent {
  const { contentType, traceparent, attributes } = readHeaders(message.headers);
  return {
    subject: message.subject,
    data: message.data,
    contentType,
    traceparent,
    attributes,
    streamSequence: message.seq,
    place: 0,
    redelivered: message.redelivered,
  };
}
