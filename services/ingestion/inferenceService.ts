import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type { Bus } from "@millrace/bus";
import {
  type InferSchemaRequest_GivenEvents,
  type InferSchemaRequest_StreamSource,
  type InferSchemaResponse,
  InferSchemaResponseSchema,
  SchemaInferenceService,
} from "@millrace/proto/millrace/ingestion/v1/schema_inference_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { EventSample, givenMessage } from "./eventSample.ts";
import { countMessages, newestMessages } from "./newestMessages.ts";
import { schemaYaml } from "./schemaYaml.ts";

const DEFAULT_EVENTS = 10_000;
const MAX_EVENTS = 100_000;

/** Given events come in one request. */
export const MAX_GIVEN_BYTES = 16 << 20;

/** Proposals of schemas over gRPC. */
export function schemaInferenceService(bus: Bus): ImplementedService {
  return implement(SchemaInferenceService, {
    async *inferSchema({ source }, { signal }) {
      if (source.case === "stream") yield* inferFromStream(bus, source.value, signal);
      else if (source.case === "events") yield* inferFromGiven(source.value, signal);
      else throw new MillraceError("invalid_argument", "source: name a stream's app, or give events");
    },
  });
}

async function* inferFromStream(
  bus: Bus,
  { app, type, maxEvents }: InferSchemaRequest_StreamSource,
  signal: AbortSignal,
): AsyncGenerator<InferSchemaResponse> {
  requireToken("app", app, /^[a-z][a-z0-9-]{0,47}$/, "small letters, digits and -");
  if (type !== "") requireToken("type", type, /^[^\s.*>]+(\.[^\s.*>]+)*$/, "words joined by dots");
  const wanted = maxEvents || DEFAULT_EVENTS;
  if (wanted > MAX_EVENTS) {
    throw new MillraceError("invalid_argument", `max_events must be at most ${MAX_EVENTS}, not ${maxEvents}`);
  }
  const count = await countMessages(bus, { app, type });
  const which = `events.${app}.${type || ">"}`;
  if (count === 0) {
    throw new MillraceError(
      "not_found",
      `EVENTS has no message on ${which}: point a producer at it (the app need not be there), or give a file of events`,
    );
  }
  const sample = new EventSample();
  let messages = 0;
  let looked = 0;
  for await (const read of newestMessages(bus, { app, type }, { count, wanted, signal })) {
    looked = read.looked;
    for (const message of read.messages) {
      if (sample.events >= wanted) break;
      messages += 1;
      sample.add(message);
      if (sample.isTurnOver()) await setImmediate();
    }
    if (sample.events >= wanted || signal.aborted) break;
    yield progress(looked, sample);
  }
  const cut = messages < count && sample.events < wanted;
  const from = `${cut ? "" : "the newest "}${whole(messages)} of ${whole(count)} messages on ${which}`;
  const notes = cut
    ? [`The search ended after ${whole(looked)} messages of all apps, at its limit; others were not looked at.`]
    : [];
  yield proposal(sample, looked, from, notes);
}

async function* inferFromGiven(
  { json, type, timeField }: InferSchemaRequest_GivenEvents,
  signal: AbortSignal,
): AsyncGenerator<InferSchemaResponse> {
  if (json.length > MAX_EVENTS) {
    throw new MillraceError(
      "invalid_argument",
      `at most ${MAX_EVENTS} events, not ${json.length}: give a part of them`,
    );
  }
  if (type !== "") requireToken("type", type, /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/, "such as flight.scheduled");
  const sample = new EventSample();
  for (const [index, event] of json.entries()) {
    sample.add(givenMessage(event, { type, timeField }, index + 1));
    if (!sample.isTurnOver()) continue;
    yield progress(index + 1, sample);
    await setImmediate();
    if (signal.aborted) return;
  }
  yield proposal(sample, json.length, `${whole(json.length)} given events`, []);
}

const progress = (messages: number, { events }: EventSample): InferSchemaResponse =>
  create(InferSchemaResponseSchema, { messages: BigInt(messages), events: BigInt(events) });

function proposal(sample: EventSample, messages: number, from: string, notes: readonly string[]): InferSchemaResponse {
  const { events, unread, wrong } = sample;
  if (events === 0) {
    throw new MillraceError(
      "not_found",
      `No event could be read among ${from}: ${wrong.join(", ") || "there is none"}`,
    );
  }
  const about = [
    `Proposed from ${whole(events)} events: ${from}. A sample shows what was, not what may come: edit it.`,
    "Each field: how many events have it, and what its values are like.",
    ...notes,
    ...(unread > 0 ? [`${whole(unread)} events could not be read, and are not counted.`] : []),
    ...(wrong.length > 0 ? [`Rejected whatever the schema says: ${wrong.join(", ")}.`] : []),
  ];
  const yaml = schemaYaml(sample.schema.propose(), about);
  return create(InferSchemaResponseSchema, { messages: BigInt(messages), events: BigInt(events), yaml });
}

function requireToken(field: string, value: string, rule: RegExp, text: string): void {
  if (rule.test(value)) return;
  throw new MillraceError("invalid_argument", `${field} must be ${text}, not ${JSON.stringify(value.slice(0, 80))}`);
}

const whole = (value: number): string => value.toLocaleString("en-US");
