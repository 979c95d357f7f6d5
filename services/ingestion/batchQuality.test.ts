import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { DataQualityAdditionSchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { AppDirectory } from "./appDirectory.ts";
import { BatchQuality } from "./batchQuality.ts";
import { type CheckedEvent, checkEvent, type RawEvent } from "./checkedEvent.ts";
import { HOUR_MS } from "./hourQuality.ts";
import { APP, FLIGHTS, NOW_MS, START_MS, scheduled, text } from "./ingestionForTests.ts";

const apps = new AppDirectory(() => Promise.resolve(undefined));
apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(FLIGHTS) }));

let streamSequence = 0;

function check(event: Event, changes: Partial<RawEvent> = {}): CheckedEvent[] {
  streamSequence += 1;
  const subject = `events.${APP}.${event.type}`;
  const data = toBinary(EventSchema, event);
  const raw = { subject, data, contentType: "", traceparent: "", streamSequence, place: 0, ...changes };
  return checkEvent(raw, apps, { nowMs: NOW_MS, keptFromMs: () => START_MS - 24 * HOUR_MS });
}

/** At an hour after the start; `bad` breaks the origin's pattern. */
function flight(hour: number, { bad = false, ...changes }: Partial<RawEvent> & { bad?: boolean } = {}): CheckedEvent[] {
  const occurredAt = timestampFromMs(START_MS + hour * HOUR_MS + 1);
  return check(scheduled({ occurredAt }, bad ? { origin: text("?") } : {}), changes);
}

/** Accepted and rejected events by hour after the start, as they are noted. */
const noted = (quality: BatchQuality) =>
  fromBinary(DataQualityAdditionSchema, quality.encode()).hours.map(({ hour, accepted, rejected }) => [
    (Number(hour?.seconds) * 1_000 - START_MS) / HOUR_MS,
    Number(accepted),
    Number(rejected),
  ]);

const REPLAY = { replay: { rejectedId: 7, run: "fix" } };

test("a batch is summed up by hour; what came before can be taken out", () => {
  const quality = BatchQuality.of([...flight(0), ...flight(2), ...flight(0), ...flight(0, { bad: true })]);
  assert.deepEqual(noted(quality), [
    [0, 2, 1],
    [2, 1, 0],
  ]);
  const none = (): boolean => false;
  assert.equal(quality.without(none, none), quality);
  assert.deepEqual(noted(quality.without((index) => index === 1, none)), [[0, 2, 1]]);
  assert.deepEqual(
    noted(
      quality.without(
        (index) => index !== 1,
        (index) => index === 0,
      ),
    ),
    [[2, 1, 0]],
  );
});

test("a replayed event counts when it is let in, and not once more when it is rejected again", () => {
  assert.deepEqual(noted(BatchQuality.of(flight(0, REPLAY))), [[0, 1, 0]]);
  assert.deepEqual(noted(BatchQuality.of(flight(0, { bad: true, ...REPLAY }))), []);
});

test("an event makes no hour when its app, type or time is in doubt", () => {
  const doubtful = [
    check(scheduled({ occurredAt: timestampFromMs(NOW_MS + 24 * HOUR_MS) })),
    check(scheduled({ occurredAt: timestampFromMs(START_MS - 25 * HOUR_MS) })),
    check(scheduled({ type: "flight.lost" })),
    check(scheduled({ app: "other" })),
    check(scheduled(), { subject: `events.${APP}.flight.landed` }),
    check(scheduled(), { subject: "events.nobody.flight.scheduled" }),
    check(scheduled(), { data: Buffer.from("junk") }),
    check(create(EventSchema, { ...scheduled(), occurredAt: undefined })),
  ].flat();
  assert.deepEqual(
    doubtful.map(({ kind }) => kind),
    doubtful.map(() => "rejected"),
  );
  assert.deepEqual(noted(BatchQuality.of(doubtful)), []);
  assert.deepEqual(noted(BatchQuality.of(check(scheduled({ id: "" })))).length, 1);
});
