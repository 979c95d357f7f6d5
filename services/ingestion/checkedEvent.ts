import { toBinary } from "@bufbuild/protobuf";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import type { AppDirectory, IngestedApp, IngestedType } from "./appDirectory.ts";
import { readEvent } from "./eventReader.ts";
import { show } from "./validation.ts";

/** A raw message, free of what carried it. */
export interface RawEvent {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  /** Of the producer's span; empty when it is not sampled. */
  readonly traceparent: string;
  /** Its message's place in the stream EVENTS. */
  readonly streamSequence: number;
  /** Its place within the message: 0, unless the message holds several events. */
  readonly place: number;
  /** The message was delivered before, so that what became of it may have been decided already. */
  readonly redelivered?: boolean;
  /** Of a rejected event that is tried again: which, and by whom. */
  readonly replay?: ReplayOf | undefined;
}

/** What a replayed event says of itself in its headers. */
export interface ReplayOf {
  /** The rejected event's id: its sequence in REJECTED. */
  readonly rejectedId: number;
  readonly run: string;
}

interface Checked {
  readonly app: string;
  readonly type: string;
  readonly raw: RawEvent;
}

export interface ValidEvent extends Checked {
  readonly kind: "valid";
  readonly settings: IngestedApp;
  readonly id: string;
  readonly occurredAtSeconds: number;
  readonly occurredAtNanos: number;
  /** As it came, decoded. */
  readonly event: Event;
  /** An encoded Event. */
  readonly bytes: Uint8Array;
}

export interface RejectedEvent extends Checked {
  readonly kind: "rejected";
  /** All of them; it is counted under the first one's reason. */
  readonly violations: readonly Violation[];
  /** What could be read of it all the same. */
  readonly id?: string;
  readonly occurredAtMs?: number;
  /** Of the app by which it was judged. */
  readonly appVersion?: number;
  readonly settings?: IngestedApp;
  /** As it came, where it could be decoded. */
  readonly event?: Event;
}

export interface DroppedEvent extends Checked {
  readonly kind: "dropped";
}

/** What became of a message when its content was looked at. */
export type CheckedEvent = ValidEvent | RejectedEvent | DroppedEvent;

/** Characters of an event's id. */
const MAX_ID_LENGTH = 256;

/** Bytes of an event: with what is added to it, it must fit a message of the bus. */
export const MAX_EVENT_BYTES = 512 * 1_024;

/** Reasons that a newer version of the app could do away with. */
const CURED_BY_REFRESH = new Set(["unknown_app", "unknown_event_type", "unknown_schema_version"]);

export const needsRefresh = (checked: CheckedEvent): boolean =>
  checked.kind === "rejected" && checked.violations.some(({ reason }) => CURED_BY_REFRESH.has(reason));

/** Checks a message against its app, in full: every violation is found. */
export function checkEvent(raw: RawEvent, apps: AppDirectory, nowMs: number): CheckedEvent {
  const { app, type } = parseSubject(raw.subject);
  const place = { app, type, raw };
  if (raw.data.length > MAX_EVENT_BYTES) {
    const description = `${raw.data.length} bytes are more than the ${MAX_EVENT_BYTES} that an event may have`;
    return rejected(place, [{ field: "event", reason: "too_large", description }]);
  }
  const findSchema = (appName: string, typeName: string) => apps.get(appName)?.types.get(typeName)?.schema;
  const read = readEvent(raw.data, raw.contentType, app, findSchema);
  if (!("event" in read)) return rejected(place, [read]);
  const violations: Violation[] = [];
  const settings = apps.get(app);
  checkEnvelope(read.event, app, type, violations);
  if (settings === undefined) {
    violations.push(violation("app", "unknown_app", `there is no app ${show(app)}; apply its file first`));
    return rejected(place, violations, read.event);
  }
  checkTime(read.event, settings, nowMs, violations);
  checkContent(read.event, type, settings, violations);
  if (violations.length > 0) return rejected(place, violations, read.event, settings);
  return accept(place, read.event, read.bytes, settings);
}

/** `events.<app>.<type>`; a type may have dots. */
function parseSubject(subject: string): { app: string; type: string } {
  const [, app = "", ...type] = subject.split(".");
  return { app, type: type.join(".") };
}

function checkEnvelope(event: Event, app: string, type: string, violations: Violation[]): void {
  const { id } = event;
  if (id === "") violations.push(violation("id", "missing_id", "id is required: a text that is unique within the app"));
  else if (id.length > MAX_ID_LENGTH || hasControlCharacter(id)) {
    const rule = `must have at most ${MAX_ID_LENGTH} characters and no control characters`;
    violations.push(violation("id", "bad_id", `id ${rule}, not ${show(id)}`));
  }
  if (event.app !== app) {
    const description = `app must be ${show(app)}, as the subject says, not ${show(event.app)}`;
    violations.push(violation("app", "subject_mismatch", description));
  }
  if (event.type !== type) {
    const description = `type must be ${show(type)}, as the subject says, not ${show(event.type)}`;
    violations.push(violation("type", "subject_mismatch", description));
  }
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) < 32) return true;
  return false;
}

function checkTime({ occurredAt }: Event, { futureMs }: IngestedApp, nowMs: number, violations: Violation[]): void {
  if (occurredAt === undefined) {
    violations.push(
      violation("occurred_at", "missing_occurred_at", "occurred_at is required: when the event happened"),
    );
    return;
  }
  const seconds = Number(occurredAt.seconds);
  const { nanos } = occurredAt;
  if (seconds < 0 || seconds >= 253_402_300_800 || nanos < 0 || nanos > 999_999_999) {
    const description = `occurred_at must be from 1970 to 9999, not ${seconds} s and ${nanos} ns after 1970`;
    violations.push(violation("occurred_at", "occurred_at_out_of_range", description));
  } else if (seconds * 1_000 > nowMs + futureMs) {
    const limit = `at most ${futureMs / 1_000} s after now (${new Date(nowMs).toISOString()})`;
    const description = `occurred_at must be ${limit}, not ${new Date(seconds * 1_000).toISOString()}`;
    violations.push(violation("occurred_at", "future_dated", description));
  }
}

function checkContent(event: Event, type: string, settings: IngestedApp, violations: Violation[]): void {
  const known = settings.types.get(type);
  if (known === undefined) {
    const names = [...settings.types.keys()].sort().join(", ");
    violations.push(
      violation("type", "unknown_event_type", `${settings.name} has no event ${show(type)}; it has: ${names}`),
    );
    return;
  }
  const schema = schemaOf(known, event.schemaVersion);
  if (schema === undefined) {
    const description = `schema_version ${event.schemaVersion} of ${type} is not known; the newest is ${known.newest.version}`;
    violations.push(violation("schema_version", "unknown_schema_version", description));
    return;
  }
  schema.check(event.fields, violations);
  if (settings.unknownFields !== "reject" || schema.knowsAll(event.fields)) return;
  for (const name of Object.keys(event.fields)) {
    if (schema.knows(name)) continue;
    violations.push(
      violation(`fields.${name}`, "unknown_field", `fields.${name} is not in version ${schema.version} of ${type}`),
    );
  }
}

/**
 * The schema that an event's version names. An older version than was ever seen here is checked by the newest, which may only have
 * added optional fields since.
 */
function schemaOf({ newest, versions }: IngestedType, version: number) {
  if (version === 0 || version === newest.version) return newest;
  return version > newest.version ? undefined : (versions.get(version) ?? newest);
}

function accept(
  place: { app: string; type: string; raw: RawEvent },
  event: Event,
  bytes: Uint8Array,
  settings: IngestedApp,
): CheckedEvent {
  const seconds = Number(event.occurredAt?.seconds);
  const nanos = event.occurredAt?.nanos ?? 0;
  const { drop } = settings;
  if (drop?.evaluate(event.fields, seconds * 1_000 + Math.floor(nanos / 1e6)) === true)
    return { kind: "dropped", ...place };
  return {
    kind: "valid",
    ...place,
    settings,
    id: event.id,
    occurredAtSeconds: seconds,
    occurredAtNanos: nanos,
    event,
    bytes: settings.unknownFields === "drop" ? withoutUnknown(event, place.type, settings, bytes) : bytes,
  };
}

function withoutUnknown(event: Event, type: string, { types }: IngestedApp, bytes: Uint8Array): Uint8Array {
  const known = types.get(type);
  const schema = known === undefined ? undefined : schemaOf(known, event.schemaVersion);
  if (schema === undefined || schema.knowsAll(event.fields)) return bytes;
  const fields = Object.fromEntries(Object.entries(event.fields).filter(([name]) => schema.knows(name)));
  return toBinary(EventSchema, { ...event, fields });
}

function rejected(
  place: Checked,
  violations: readonly Violation[],
  event?: Event,
  settings?: IngestedApp,
): RejectedEvent {
  const seconds = Number(event?.occurredAt?.seconds ?? Number.NaN);
  const known = seconds >= 0 && seconds < 253_402_300_800;
  return {
    kind: "rejected",
    ...place,
    violations,
    ...(event === undefined || event.id === "" ? {} : { id: event.id.slice(0, MAX_ID_LENGTH) }),
    ...(known ? { occurredAtMs: seconds * 1_000 + Math.floor((event?.occurredAt?.nanos ?? 0) / 1e6) } : {}),
    ...(settings === undefined ? {} : { appVersion: settings.version, settings }),
    ...(event === undefined ? {} : { event }),
  };
}

const violation = (field: string, reason: string, description: string): Violation => ({ field, reason, description });
