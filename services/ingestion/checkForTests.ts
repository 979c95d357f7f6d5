import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { AppDirectory } from "./appDirectory.ts";
import { type CheckedEvent, checkEvent, type RejectedEvent, type ValidEvent } from "./checkedEvent.ts";
import { APP, FLIGHTS, KEEPS_ALL, NOW_MS } from "./ingestionForTests.ts";
import { readHeaders } from "./messageHeaders.ts";

export function appsOf(yaml = FLIGHTS): AppDirectory {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(yaml) }));
  return apps;
}

export const SUBJECT = `events.${APP}.flight.scheduled`;

export interface TestMessage {
  readonly data: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly subject?: string;
}

/** Checks a message as the consumer would hand it over, against an app and a wall clock. */
export function check(
  { data, headers: names = {}, subject = SUBJECT }: TestMessage,
  apps = appsOf(),
  nowMs = NOW_MS,
): CheckedEvent[] {
  const sent = Object.entries(names).map(([name, value]) => [name, [value]] as const);
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  return checkEvent({ subject, data: bytes, streamSequence: 1, place: 0, ...readHeaders(sent) }, apps, {
    ...KEEPS_ALL,
    nowMs,
  });
}

/** The only event of a message, which has to be valid. */
export function checkValid(...args: Parameters<typeof check>): ValidEvent {
  const [event, ...others] = check(...args);
  assert.equal(others.length, 0);
  assert.deepEqual(event?.kind === "rejected" ? brokenBy(event) : [], []);
  assert.equal(event?.kind, "valid");
  return event;
}

/** The only event of a message, which has to be rejected. */
export function checkRejected(...args: Parameters<typeof check>): RejectedEvent {
  const [event, ...others] = check(...args);
  assert.equal(others.length, 0);
  assert.equal(event?.kind, "rejected");
  return event;
}

/** An event's violations, as `field reason`, in their order. */
export const brokenBy = ({ violations }: RejectedEvent): string[] =>
  violations.map(({ field, reason }) => `${field} ${reason}`);
