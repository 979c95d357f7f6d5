import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { connectBus, featureBucket } from "@millrace/bus";
import { ROOT } from "@millrace/local";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, waitFor } from "@millrace/test-harness";
import { APP, flight, number, publishEvent, text } from "./flightEvents.ts";
import { millrace } from "./millraceCommand.ts";

const T0 = Date.UTC(2001, 0, 1, 8);
const MINUTE_MS = 60_000;
const FILE = join(ROOT, "deploy/apps/flight-delays/app.yaml");

test("events rejected by a rule that was wrong are found, looked at, and taken in once the rule is mended", async () => {
  await using folder = new TemporaryFolder();
  await using system = await startTestPlatform({ services: ["ingestion", "feature"] });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "rejected events test", silentLogger);
  const run = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await millrace(platform, ...words);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  await run("apply", FILE);
  const publish = (minute: number, distance: number): Promise<number> =>
    publishEvent(bus, {
      id: `F${minute}`,
      type: "flight.scheduled",
      occurredAtMs: T0 + minute * MINUTE_MS,
      fields: flight(`F${minute}`, { distance: number(distance) }),
    });
  for (let minute = 0; minute < 30; minute += 1) await publish(minute, minute % 3 === 0 ? 6_500 : 1_745);

  const listed = await waitFor(
    async () => {
      const said = await run("events", "rejected", "--app", APP, "--limit", "5");
      return said.startsWith("10 rejected") ? said : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "ten rejected events to be listed" },
  );
  assert.match(listed, /10 rejected: field_out_of_range 10; the newest 5 of them/);
  assert.match(listed, /F27 +2001-01-01 08:27 +fields\.distance must be at most 6000 mile, not 6500/);
  const [number27 = ""] = /(\d+)(?= .*F27)/.exec(listed) ?? [];
  const shown = await run("events", "show", number27);
  assert.match(shown, /from +EVENTS, message 28/);
  assert.match(shown, /fields\.distance: fields\.distance must be at most 6000 mile, not 6500 \(field_out_of_range\)/);
  assert.match(shown, /"flight_id": \{\s+"stringValue": "F27"/);
  const { status, stderr } = await millrace(platform, "events", "replay");
  assert.equal(status, 1);
  assert.match(stderr, /needs either numbers, or options that select/);
  assert.match(
    await run("events", "replay", "--app", APP),
    /10 of 10 .*\n +rejected again +10 \(field_out_of_range 10\)/,
  );

  const yaml = await readFile(FILE, "utf8");
  const mended = folder.join("app.yaml");
  await writeFile(mended, yaml.replaceAll("max: 6000", "max: 7000").replaceAll("version: 1", "version: 2"));
  await run("apply", mended);
  // Version 1 of the schema keeps its limit for what its producers send; a replay lets in what the newest version would.
  await publish(30, 6_500);
  const dry = await waitFor(
    async () => {
      const said = await run("events", "replay", "--app", APP, "--dry-run");
      return said.startsWith("11 of 11") ? said : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "an eleventh rejected event" },
  );
  assert.match(dry, /11 of 11 rejected events checked; nothing was changed\n +would be accepted +11/);
  assert.match(await run("events", "replay", number27), /1 of 1 .*\n +accepted +1/);
  await platform.supervisor.service("ingestion").crash();
  assert.match(await run("events", "replay", "--app", APP), /10 of 10 .*\n +accepted +10/);
  assert.match(await run("events", "replay", "--app", APP), /Nothing to replay/);
  assert.match(await run("events", "rejected"), /Nothing is rejected/);
  assert.match(await run("events", "rejected", "--state", "accepted"), /11 accepted: field_out_of_range 11/);
  assert.match(await run("events", "show", number27), /now +accepted, after 2 replay/);

  using log = connectRpc(EventLogService, platform.grpc("ingestion"));
  const { accepted, rejected, duplicates } = await log.countEvents({ app: APP });
  assert.deepEqual([accepted, rejected, duplicates], [{ "flight.scheduled": 31n }, {}, 0n]);
  // Features count each once.
  const bucket = await bus.keyValue(featureBucket(APP));
  await waitFor(
    async () => {
      const entry = await bucket.get("origin.ORD");
      if (entry === null) return false;
      const { series } = fromBinary(EntityStateSchema, entry.value);
      const departures = series.find(({ tileSteps, components }) => tileSteps.length === components.length);
      return departures?.components.reduce((sum, count) => sum + count, 0) === 31;
    },
    { deadlineMs: 30_000, what: "31 departures from ORD among the features" },
  );
});

test("rejected events are told to programs, too, and by time; a look shows the very bytes; what became of all is counted", async () => {
  await using folder = new TemporaryFolder();
  await using system = await startTestPlatform({ services: ["ingestion"] });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "rejected events test", silentLogger);
  const run = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await millrace(platform, ...words);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const file = folder.join("app.yaml");
  const noise = `unknown_fields: REJECT
  noise:
    - { name: test-traffic, when: "id.startsWith('test-')" }
    - { name: shuttles, when: "event.distance < 100.0", keep: 100% }`;
  await writeFile(file, (await readFile(FILE, "utf8")).replace("unknown_fields: KEEP", noise));
  await run("apply", file);
  const publish = (id: string, minute: number, changes: Parameters<typeof flight>[1] = {}): Promise<number> =>
    publishEvent(bus, {
      id,
      type: "flight.scheduled",
      occurredAtMs: T0 + minute * MINUTE_MS,
      fields: flight(id, changes),
    });
  await publish("A", 120);
  await publish("late", 0);
  await publish("test-1", 120);
  await publish("B", 120, { distance: number(50) });
  const many = Array.from({ length: 300 }, (_, index) => [`unknown_${index}`, number(index)] as const);
  await publish("many", 120, { ...Object.fromEntries(many), origin: text("ord") });
  const cloudEvent = `{"specversion":"1.0","id":"cloud","source":"/x","type":"flight.scheduled","data":{"origin":"Zürich"}}\n`;
  await bus.publishBytes(`events.${APP}.flight.scheduled`, Buffer.from(cloudEvent), {
    id: "cloud",
    headers: { "Content-Type": "application/cloudevents+json" },
  });
  await bus.publishBytes(`events.${APP}.flight.scheduled`, Buffer.from("again"), { id: "again" });

  type Listed = { id: string; eventId?: string; rejectedAt: string; reasons: string[]; state: string };
  const list = async (...words: string[]): Promise<Listed[]> =>
    JSON.parse(await run("events", "rejected", "--json", ...words)) as Listed[];
  const [unread, cloud, full] = await waitFor(
    async () => {
      const found = await list("--app", APP);
      return found.length === 3 ? found : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "three rejected events to be listed" },
  );
  assert.ok(unread !== undefined && cloud !== undefined && full !== undefined);
  assert.deepEqual([unread.eventId, cloud.eventId, full.eventId], [undefined, "cloud", "many"]);
  assert.equal(cloud.state, "REJECTED_EVENT_STATE_REJECTED");
  assert.deepEqual(full.reasons, ["pattern_mismatch", "unknown_field"]);

  // Those before a time, from a time on, and of the last hours.
  const ids = async (...words: string[]): Promise<string[]> => (await list(...words)).map(({ id }) => id);
  const all = [unread.id, cloud.id, full.id];
  const late = [unread, cloud, full]
    .filter(({ rejectedAt }) => Date.parse(rejectedAt) >= Date.parse(cloud.rejectedAt))
    .map(({ id }) => id);
  assert.deepEqual(await ids("--since", cloud.rejectedAt), late);
  assert.deepEqual(
    await ids("--until", cloud.rejectedAt),
    all.filter((id) => !late.includes(id)),
  );
  assert.deepEqual([await ids("--since", "12h"), await ids("--until", "12h")], [all, []]);
  assert.match(await run("events", "replay", "--until", "12h", "--dry-run"), /Nothing to replay/);
  assert.match(await run("events", "replay", "--since", "12h", "--dry-run"), /3 of 3 rejected events checked/);

  assert.equal(await run("events", "show", cloud.id, "--bytes"), cloudEvent);
  const shown = JSON.parse(await run("events", "show", cloud.id, "--json")) as {
    event: { id: string };
    data: string;
    violations: { field: string }[];
  };
  assert.equal(shown.event.id, cloud.id);
  assert.equal(Buffer.from(shown.data, "base64").toString(), cloudEvent);
  assert.ok(shown.violations.some(({ field }) => field === "fields.origin"));
  // A header of REJECTED has no room for all that is wrong; a replay tells it.
  const told = await run("events", "show", full.id);
  const [, more = ""] = /\n {2}… and (\d+) more; npm run millrace -- events replay (\d+)/.exec(told) ?? [];
  const toldIn = (said: string): number => said.match(/\(unknown_field\)|\(pattern_mismatch\)/g)?.length ?? 0;
  assert.equal(toldIn(told) + Number(more), 301);
  await run("events", "replay", full.id);
  const complete = await run("events", "show", full.id);
  assert.equal(toldIn(complete), 301);
  assert.doesNotMatch(complete, /more;/);

  await bus.publishBytes(`events.${APP}.flight.scheduled`, Buffer.from("x"), { id: "x" });
  const again = `{"specversion":"1.0","id":"A","source":"/x","type":"flight.scheduled","time":"2001-01-01T10:00:00Z",
    "data":{"flight_id":"A","origin":"ORD","destination":"LAX","distance":1745}}`;
  await bus.publishBytes(`events.${APP}.flight.scheduled`, Buffer.from(again), {
    id: "A again",
    headers: { "Content-Type": "application/cloudevents+json" },
  });
  const counted = await waitFor(
    async () => {
      const said = await run("events", "count", "--app", APP);
      return / 4 rejected, 1 duplicates/.test(said) ? said : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "four rejected events and a duplicate to be counted" },
  );
  assert.match(
    counted,
    /^flight-delays: 3 accepted \(1 of them late\), 4 rejected, 1 duplicates, 1 dropped as noise\n/,
  );
  assert.match(counted, /flight\.scheduled +3 +1\n/);
  assert.match(counted, /shuttles +0 +1\ntest-traffic +1 +0/);
  const json = JSON.parse(await run("events", "count", "--app", APP, "--json")) as Record<string, unknown>;
  assert.deepEqual([json["accepted"], json["keptByRule"]], [{ "flight.scheduled": "3" }, { shuttles: "1" }]);
  assert.match(
    await run("events", "count", "--help"),
    /Usage: npm run millrace -- events count --app <app> \[--json\]/,
  );
});
