import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { applyApp, parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { AppDirectory } from "./appDirectory.ts";
import { type CheckedEvent, checkEvent } from "./checkedEvent.ts";
import { FLIGHTS, KEEPS_ALL, number, scheduled, TestIngestion, text } from "./ingestionForTests.ts";
import { sampleOf } from "./noise.ts";
import { partitionOf } from "./partitioning.ts";

const withRules = (rules: string): string => FLIGHTS.replace("unknown_fields: KEEP", rules);

function judge(rules: string, event: Event, edit = (yaml: string): string => yaml): CheckedEvent {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(edit(withRules(rules))) }));
  const raw = {
    subject: `events.${event.app}.${event.type}`,
    data: toBinary(EventSchema, event),
    contentType: "",
    traceparent: "",
    streamSequence: 1,
    place: 0,
  };
  return checkEvent(raw, apps, KEEPS_ALL)[0] as CheckedEvent;
}

/** The rule that decided, and how; "no noise" when none did. */
function verdict(rules: string, event: Event, edit?: (yaml: string) => string): string {
  const checked = judge(rules, event, edit);
  if (checked.kind === "dropped") return `dropped by ${checked.rule}`;
  assert.equal(checked.kind, "valid");
  return checked.kind === "valid" && checked.keptBy !== undefined ? `kept by ${checked.keptBy}` : "no noise";
}

const RULES = `noise:
    - { name: loadtest, when: "id.startsWith('load-')" }
    - { name: short-hops, when: "event.distance < 50.0", keep: 100% }
    - { name: near, when: "type == 'flight.scheduled' && event.distance < 100.0" }`;

const CASES: Readonly<Record<string, readonly [event: Event, expected: string]>> = {
  "by its id": [scheduled({ id: "load-1" }), "dropped by loadtest"],
  "by a field and its type": [scheduled({}, { distance: number(70) }), "dropped by near"],
  "the first rule decides, also when it keeps": [scheduled({}, { distance: number(20) }), "kept by short-hops"],
  "the first rule decides, also when it drops": [
    scheduled({ id: "load-2" }, { distance: number(20) }),
    "dropped by loadtest",
  ],
  "no rule is about it": [scheduled(), "no noise"],
  "another type": [scheduled({ type: "flight.landed" }, { distance: number(70), delay: number(1) }), "no noise"],
};

for (const [name, [event, expected]] of Object.entries(CASES)) {
  test(`noise: ${name}`, () => assert.equal(verdict(RULES, event), expected));
}

test("`drop` is asked before the noise rules, and counted as drop", () => {
  const rules = `drop: "event.origin == 'TST'"\n  ${RULES}`;
  assert.equal(verdict(rules, scheduled({ id: "load-3" }, { origin: text("TST") })), "dropped by drop");
  assert.equal(verdict(rules, scheduled({ id: "load-3" })), "dropped by loadtest");
});

test("the README's example: test traffic and bots are dropped, a tenth of the heartbeats is kept", () => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const [, yaml = ""] = /```yaml\ningestion:\n {2}(.*?)\n```/s.exec(readme) ?? assert.fail("no example");
  const opened = `events:
  app.opened:
    version: 1
    fields: { user_agent: { type: STRING }, seconds: { type: DOUBLE } }`;
  const example = (event: Event): string => verdict(yaml, event, (app) => app.replace("events:", opened));
  const open = (id: string, seconds: number, agent = "Mozilla"): Event =>
    scheduled({ id, type: "app.opened" }, { user_agent: text(agent), seconds: number(seconds) });
  assert.equal(example(scheduled({}, { origin: text("TST") })), "dropped by drop");
  assert.equal(example(open("test-1", 5)), "dropped by test-traffic");
  assert.equal(example(open("a", 5, "a bot")), "dropped by bots");
  assert.equal(example(open("b", 5)), "no noise");
  assert.equal(example(scheduled()), "no noise");
  const ids = Array.from({ length: 40 }, (_, index) => `c${index}`);
  const kept = ids.filter((id) => example(open(id, 0.5)) === "kept by heartbeats");
  assert.deepEqual(
    kept,
    ids.filter((id) => sampleOf("heartbeats", id) < 0.1),
  );
  assert.ok(kept.length > 0);
});

test("an event that breaks a rule is rejected, not dropped as noise", () => {
  assert.equal(judge(RULES, scheduled({ id: "load-4" }, { origin: text("lower") })).kind, "rejected");
});

test("a share is kept, always the same events, and no rule or partition chooses the same ones", () => {
  const ids = Array.from({ length: 20_000 }, (_, index) => `s${index}`);
  const kept = (rule: string, keep: number): Set<string> => new Set(ids.filter((id) => sampleOf(rule, id) < keep));
  // Four standard deviations.
  const near = (count: number, share: number, of: number): boolean =>
    Math.abs(count - share * of) <= 4 * Math.sqrt(share * (1 - share) * of);
  for (const keep of [0, 0.01, 0.1, 0.5, 1]) assert.ok(near(kept("bots", keep).size, keep, ids.length), `${keep}`);
  const bots = kept("bots", 0.1);
  assert.deepEqual(kept("bots", 0.1), bots);
  // What is kept of a tenth is kept of a fifth, too: raising the share takes nothing away.
  assert.ok([...bots].every((id) => kept("bots", 0.2).has(id)));
  const both = [...kept("tests", 0.1)].filter((id) => bots.has(id)).length;
  assert.ok(near(both, 0.01, ids.length), `two rules have ${both} in common`);
  const first = [...bots].filter((id) => partitionOf(id, 4) === 0).length;
  assert.ok(near(first, 0.25, bots.size), `partition 0 has ${first} of ${bots.size}`);
});

test("through ingestion: a tenth of the noise is kept and all of it counted by rule, however often it is delivered", async () => {
  await using ingestion = await TestIngestion.start({
    app: withRules(`drop: "event.origin == 'TST'"
  noise:
    - { name: loadtest, when: "id.startsWith('load-')", keep: 10% }
    - { name: near, when: "event.distance < 100.0" }`),
  });
  const load = Array.from({ length: 300 }, (_, index) => scheduled({ id: `load-${index}` }));
  const near = Array.from({ length: 7 }, () => scheduled({}, { distance: number(70) }));
  const dropped = [scheduled({}, { origin: text("TST") }), scheduled({}, { origin: text("TST") })];
  const good = [scheduled(), scheduled()];
  await Promise.all([...load, ...near, ...dropped, ...good].map((event) => ingestion.publish(event)));
  await ingestion.settled();
  const kept = load.filter(({ id }) => sampleOf("loadtest", id) < 0.1);
  assert.ok(kept.length > 10 && kept.length < 60);
  const expected = [...kept, ...good].map(({ id }) => id).sort();
  const stored = async (): Promise<string[]> => (await ingestion.readLog()).map(({ event }) => event?.id ?? "").sort();
  const counts = { loadtest: BigInt(300 - kept.length), near: 7n, drop: 2n };
  assert.deepEqual(await stored(), expected);
  assert.deepEqual((await ingestion.counts()).droppedByRule, counts);
  assert.deepEqual((await ingestion.counts()).keptByRule, { loadtest: BigInt(kept.length) });
  assert.equal((await ingestion.counts()).dropped, BigInt(300 - kept.length + 9));

  await ingestion.restartFromTheBeginning();
  assert.deepEqual(await stored(), expected);
  assert.deepEqual((await ingestion.counts()).droppedByRule, counts);
  assert.deepEqual((await ingestion.counts()).keptByRule, { loadtest: BigInt(kept.length) });

  // A rule that is taken away lets everything through from then on.
  await applyApp(ingestion.bus, FLIGHTS);
  await waitFor(async () => {
    const event = scheduled({}, { distance: number(70) });
    await ingestion.publish(event);
    await ingestion.settled();
    return (await stored()).includes(event.id);
  });
});
