import { toBinary } from "@bufbuild/protobuf";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import type { AppDirectory, IngestedApp, IngestedType } from "./appDirectory.ts";
import { checkTime, type TimeLimits } from "./checkTime.ts";
import { MAX_FIELD_NAME_LENGTH, MAX_FIELDS, MAX_ID_LENGTH } from "./eventLimits.ts";
import { type ReceivedEvent, readMessage } from "./eventReader.ts";
import { judgeNoise } from "./noise.ts";
import type { RawEvent } from "./rawEvent.ts";
import type { CompiledSchema } from "./validation.ts";
import { isPrintable, printable, show, violation } from "./violation.ts";

export type { RawEvent, ReplayOf } from "./rawEvent.ts";

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
  /** The noise rule that it was kept by. */
  readonly keptBy?: string;
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
  /** The noise rule that decided. */
  readonly rule: string;
}

/** What became of a message when its content was looked at. */
export type CheckedEvent = ValidEvent | RejectedEvent | DroppedEvent;

/** Reasons that a newer version of the app could do away with. */
const CURED_BY_REFRESH = new Set(["unknown_app", "unknown_event_type", "unknown_schema_version"]);

export const needsRefresh = (checked: CheckedEvent): boolean =>
  checked.kind === "rejected" && checked.violations.some(({ reason }) => CURED_BY_REFRESH.has(reason));

/** Checks the events of a message against its app, in full: every violation of each is found. */
export function checkEvent(raw: RawEvent, apps: AppDirectory, limits: TimeLimits): CheckedEvent[] {
  const { app, type } = parseSubject(raw.subject);
  const settings = apps.get(app);
  const received = readMessage(raw, app, (typeName) => settings?.types.get(typeName)?.schema);
  return received.map((event) => checkReceived(event, { app, type, raw: event.raw }, settings, limits));
}

function checkReceived(
  { event, bytes, violations: unread }: ReceivedEvent,
  place: Checked,
  settings: IngestedApp | undefined,
  limits: TimeLimits,
): CheckedEvent {
  if (event === undefined) return rejected(place, unread);
  const violations: Violation[] = [];
  checkEnvelope(event, place.app, place.type, violations);
  if (settings === undefined) {
    violations.push(violation("app", "unknown_app", `there is no app ${show(place.app)}; apply its file first`));
    return rejected(place, merge(unread, violations), event);
  }
  checkTime(event, settings, limits, violations);
  checkContent(event, place, settings, violations);
  if (unread.length + violations.length > 0) return rejected(place, merge(unread, violations), event, settings);
  return accept(place, event, bytes, settings);
}

/** What carries a CloudEvent's fields. */
const DATA = new Set(["data", "data_base64", "content-type"]);

/** What could not be read comes first; that it is missing then says nothing new. */
function merge(unread: readonly Violation[], violations: readonly Violation[]): readonly Violation[] {
  if (unread.length === 0) return violations;
  const told = new Set(unread.map(({ field }) => (field === "time" ? "occurred_at" : field)));
  const withoutData = unread.some(({ field }) => DATA.has(field));
  return [
    ...unread,
    ...violations.filter(({ field, reason }) => !told.has(field) && !(withoutData && reason === "missing_field")),
  ];
}

/** `events.<app>.<type>`; a type may have dots. */
function parseSubject(subject: string): { app: string; type: string } {
  const known = subjects.get(subject);
  if (known !== undefined) return known;
  const [, app = "", ...type] = printable(subject).split(".");
  const parsed = { app, type: type.join(".") };
  if (subjects.size < MAX_SUBJECTS) subjects.set(subject, parsed);
  return parsed;
}

/** There are as many as event types; the limit is for producers that make them up. */
const MAX_SUBJECTS = 1_000;
const subjects = new Map<string, { app: string; type: string }>();

function checkEnvelope(event: Event, app: string, type: string, violations: Violation[]): void {
  const { id } = event;
  if (id === "") violations.push(violation("id", "missing_id", "id is required: a text that is unique within the app"));
  else if (id.length > MAX_ID_LENGTH || !isPrintable(id)) {
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

function checkContent(event: Event, { type, raw }: Checked, settings: IngestedApp, violations: Violation[]): void {
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
  const before = violations.length;
  checkFields(event, schema, type, settings, violations);
  if (violations.length === before || raw.replay === undefined || schema === known.newest) return;
  // A version keeps its rules. An event that these have kept out is let in when the rules of the newest one would.
  violations.splice(before);
  checkFields(event, known.newest, type, settings, violations);
}

function checkFields(
  { fields }: Event,
  schema: CompiledSchema,
  type: string,
  settings: IngestedApp,
  violations: Violation[],
): void {
  schema.check(fields, violations);
  if (settings.unknownFields !== "drop" && !schema.knowsAll(fields)) {
    checkUnknown(fields, schema, type, settings, violations);
  }
}

function checkUnknown(
  fields: Event["fields"],
  schema: CompiledSchema,
  type: string,
  { unknownFields }: IngestedApp,
  violations: Violation[],
): void {
  const names = Object.keys(fields).sort();
  if (names.length > MAX_FIELDS) {
    const description = `an event may have ${MAX_FIELDS} fields, not ${names.length}`;
    violations.push(violation("fields", "too_many_fields", description));
    return;
  }
  for (const name of names) {
    if (schema.knows(name)) continue;
    const path = `fields.${name}`;
    if (unknownFields === "reject") {
      violations.push(violation(path, "unknown_field", `${path} is not in version ${schema.version} of ${type}`));
    } else if (name === "" || name.length > MAX_FIELD_NAME_LENGTH || !isPrintable(name)) {
      const rule = `a name has 1 to ${MAX_FIELD_NAME_LENGTH} characters and no control characters`;
      violations.push(violation(path, "bad_field_name", `${rule}, not ${show(name)}`));
    }
  }
}

/**
 * The schema that an event's version names; undefined when it is newer than the newest. Who names none, or an older one that is not kept
 * (the app keeps 32, and may have left out numbers), is judged by the newest, which may only have added optional fields since.
 */
function schemaOf({ newest, versions }: IngestedType, version: number) {
  if (version === 0 || version === newest.version) return newest;
  return version > newest.version ? undefined : (versions.get(version) ?? newest);
}

function accept(place: Checked, event: Event, bytes: Uint8Array, settings: IngestedApp): ValidEvent | DroppedEvent {
  const seconds = Number(event.occurredAt?.seconds);
  const nanos = event.occurredAt?.nanos ?? 0;
  const noise = judgeNoise(settings.noise, event, seconds * 1_000 + Math.floor(nanos / 1e6));
  if (noise?.kept === false) return { kind: "dropped", ...place, rule: noise.rule };
  return {
    kind: "valid",
    ...place,
    settings,
    id: event.id,
    occurredAtSeconds: seconds,
    occurredAtNanos: nanos,
    event,
    bytes: settings.unknownFields === "drop" ? withoutUnknown(event, place.type, settings, bytes) : bytes,
    ...(noise === undefined ? {} : { keptBy: noise.rule }),
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
    ...(event === undefined || event.id === "" ? {} : { id: printable(event.id).slice(0, MAX_ID_LENGTH) }),
    ...(known ? { occurredAtMs: seconds * 1_000 + Math.floor((event?.occurredAt?.nanos ?? 0) / 1e6) } : {}),
    ...(settings === undefined ? {} : { appVersion: settings.version, settings }),
    ...(event === undefined ? {} : { event }),
  };
}
