import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { connectBus } from "@millrace/bus";
import { ROOT } from "@millrace/local";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, waitFor } from "@millrace/test-harness";
import { millrace } from "./millraceCommand.ts";

const APP = "airport";
const T0 = Date.UTC(2001, 0, 1, 8);
const MINUTE_MS = 60_000;
const FILE = join(ROOT, "deploy/apps/flight-delays/app.yaml");

/** A flight as its producer tells it: CloudEvents, of which no schema says what the numbers are. */
function cloudEvent(type: "flight.scheduled" | "flight.landed", minute: number): object {
  const code = (index: number): string => ["ATL", "JFK", "ORD", "SFO", "LAX", "DFW", "DEN"][index % 7] as string;
  const flight = {
    flight_id: `F${1_000 + minute}`,
    origin: code(minute),
    destination: code(minute * 3 + 1),
    distance: 190 + minute * 17,
    carrier: { name: "x" },
  };
  return {
    specversion: "1.0",
    id: `${type}-${minute}`,
    source: "/airport",
    type,
    time: new Date(T0 + minute * MINUTE_MS).toISOString(),
    data: type === "flight.landed" ? { ...flight, delay: (minute % 50) * 1.5 - 20 } : flight,
  };
}

test("events first, the app after: the schema is proposed from what was rejected, and takes it in once it is applied", async () => {
  await using folder = new TemporaryFolder();
  await using system = await startTestPlatform({ services: ["ingestion"] });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "schema inference test", silentLogger);
  const run = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await millrace(platform, ...words);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const { status, stdout, stderr } = await millrace(platform, "events", "infer", "--app", APP);
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(stderr, /EVENTS has no message on events\.airport\.>: point a producer at it/);

  const events = Array.from({ length: 60 }, (_, minute) => [
    cloudEvent("flight.scheduled", minute),
    cloudEvent("flight.landed", minute),
  ]).flat() as { id: string; type: string }[];
  for (const event of events) {
    await bus.publishBytes(`events.${APP}.${event.type}`, Buffer.from(JSON.stringify(event)), {
      id: event.id,
      headers: { "Content-Type": "application/cloudevents+json" },
    });
  }
  const proposed = await run("events", "infer", "--app", APP);
  assert.match(proposed, /^# Proposed from 120 events: the newest 120 of 120 messages on events\.airport\.>/);
  assert.match(
    proposed,
    /origin: \{ type: STRING, required: true, pattern: "\^\[A-Z\]\{3\}\$" \} # 60 of 60; 7 different/,
  );
  assert.match(proposed, /delay: \{ type: DOUBLE, required: true, min: -\d+, max: \d+ \}/);
  assert.match(proposed, /# "carrier" is not in the schema: 60 of 60; objects or lists/);
  assert.match(proposed, /# Could join flight\.landed and flight\.scheduled \(label\.join\): flight_id/);

  const yaml = await readFile(FILE, "utf8");
  const before = yaml.slice(0, yaml.indexOf("events:")).replace("app: flight-delays", `app: ${APP}`);
  const applied = folder.join("app.yaml");
  await writeFile(applied, `${before}${proposed}\n${yaml.slice(yaml.indexOf("prediction:"))}`);
  await run("apply", applied);
  const replayed = await waitFor(
    async () => {
      const dry = await run("events", "replay", "--app", APP, "--dry-run");
      return dry.startsWith("120 of 120") ? await run("events", "replay", "--app", APP) : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "the rejected events to be listed" },
  );
  assert.match(replayed, /120 of 120 rejected events replayed\n +accepted +120\n$/);
  using log = connectRpc(EventLogService, platform.grpc("ingestion"));
  const { accepted, rejected } = await log.countEvents({ app: APP });
  assert.deepEqual([accepted, rejected], [{ "flight.landed": 60n, "flight.scheduled": 60n }, {}]);

  // The same from a file.
  const file = folder.join("events.ndjson");
  await writeFile(file, events.map((event) => JSON.stringify(event)).join("\n"));
  const fromFile = await run("events", "infer", "--file", file);
  assert.equal(fromFile.replace(/^.*\n/, ""), proposed.replace(/^.*\n/, ""));
  const both = await millrace(platform, "events", "infer", "--file", file, "--app", APP);
  assert.match(both.stderr, /either --app or --file, not both/);
});
