import { create, toBinary } from "@bufbuild/protobuf";
import { parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { AppDirectory } from "./appDirectory.ts";
import { checkEvent } from "./checkedEvent.ts";
import { EventSample } from "./eventSample.ts";
import { APP, FLIGHTS, KEEPS_ALL, NOW_MS } from "./ingestionForTests.ts";
import type { RawEvent } from "./rawEvent.ts";
import type { SchemaProposal } from "./schemaInference.ts";
import { schemaYaml } from "./schemaYaml.ts";

/** A CloudEvent as its producer sends it. */
export const jsonMessage = (data: object, type = "thing.seen", changes: object = {}): RawEvent => ({
  subject: `events.${APP}.${type}`,
  data: Buffer.from(
    JSON.stringify({
      specversion: "1.0",
      id: "1",
      source: "/test",
      type,
      time: "2001-01-10T00:00:00Z",
      data,
      ...changes,
    }),
  ),
  contentType: "application/cloudevents+json",
  traceparent: "",
  streamSequence: 1,
  place: 0,
});

/** The same in protobuf. */
export const protobufMessage = (event: Event): RawEvent => ({
  subject: `events.${APP}.${event.type}`,
  data: toBinary(EventSchema, event),
  contentType: "application/protobuf",
  traceparent: "",
  streamSequence: 1,
  place: 0,
});

export interface Inferred {
  readonly proposal: SchemaProposal;
  readonly yaml: string;
  readonly sample: EventSample;
}

export function inferFrom(messages: readonly RawEvent[]): Inferred {
  const sample = new EventSample();
  for (const message of messages) sample.add(message);
  const proposal = sample.schema.propose();
  return { proposal, sample, yaml: schemaYaml(proposal, ["Proposed."]) };
}

/** The flights' app with another `events:` section; what it needs besides is kept. */
export function appFileWith(events: string): string {
  // Something for the features to stand on.
  const needed = FLIGHTS.slice(FLIGHTS.indexOf("  flight.scheduled:"), FLIGHTS.indexOf("\nprediction:"));
  const before = FLIGHTS.slice(0, FLIGHTS.indexOf("events:"));
  const has = events.includes("flight.scheduled:");
  const section = events.replace(/^events: \{\}$/m, "events:");
  return `${before}${section}${has ? "" : needed}\n${FLIGHTS.slice(FLIGHTS.indexOf("prediction:"))}`;
}

/** What the real checks of ingestion find wrong with messages, by an app whose events are as proposed. */
export function violationsOf(yaml: string, messages: readonly RawEvent[]): Violation[] {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(appFileWith(yaml)) }));
  const checked = messages.flatMap((message) => checkEvent(message, apps, { ...KEEPS_ALL, nowMs: NOW_MS }));
  return checked.flatMap((event) => (event.kind === "rejected" ? event.violations : []));
}

/** A field's rules as the app file has them, without the comment. */
export function lineOf(yaml: string, field: string): string {
  const line = yaml.split("\n").find((candidate) => candidate.trimStart().startsWith(`${field}: {`)) ?? "";
  return line.trim().replace(/^\w+: \{ (.*?) \} #.*$/, "$1");
}
