import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { startNats, waitFor } from "@millrace/test-harness";
import { applyApp, getApp, watchApps } from "./store.ts";

const FLIGHTS = readFileSync(new URL("../../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");

test("an app's versions grow with its changes, and a watcher adopts each", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await assert.rejects(getApp(bus, "flight-delays"), /There is no app "flight-delays"; apply its file first/);

  const first = await applyApp(bus, FLIGHTS);
  assert.deepEqual([first.version.version, first.changed], [1, true]);
  const same = await applyApp(bus, `# a comment changes nothing\n${FLIGHTS}`);
  assert.deepEqual([same.version.version, same.changed], [1, false]);

  const seen: number[] = [];
  await using _watch = await watchApps(bus, ({ version }) => void seen.push(version));
  assert.deepEqual(seen, [1]);
  const second = await applyApp(bus, FLIGHTS.replace("deadline: 250ms", "deadline: 100ms"));
  assert.deepEqual([second.version.version, second.changed], [2, true]);
  await waitFor(() => seen.length === 2);
  assert.deepEqual(seen, [1, 2]);
  assert.equal((await getApp(bus, "flight-delays")).version, 2);

  const breaking = FLIGHTS.replace("route: [origin, destination]", "route: [destination, origin]");
  await assert.rejects(
    applyApp(bus, breaking),
    /does not fit version 2 of flight-delays.*entities\.route: the key cannot change/s,
  );
  await assert.rejects(applyApp(bus, "app: broken\n"), /cannot be used/);
  assert.equal((await getApp(bus, "flight-delays")).version, 2);
});

test("two that apply at the same time get a version each", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const files = [100, 101, 102, 103].map((deadline) => FLIGHTS.replace("deadline: 250ms", `deadline: ${deadline}ms`));
  const versions = await Promise.all(files.map(async (file) => (await applyApp(bus, file)).version.version));
  assert.deepEqual(
    versions.toSorted((left, right) => left - right),
    [1, 2, 3, 4],
  );
});

test("an app keeps its events' last 32 schemas before the newest, each once, for producers that write them", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  const [SCHEDULED, LANDED] = ["flight.scheduled", "flight.landed"];
  /** `flight.scheduled` comes first in the file. */
  const written = (version: number): string =>
    FLIGHTS.replace("max: 6000", `max: ${6_000 + version}`).replace("version: 1", `version: ${version}`);
  const keptOf = async (type = SCHEDULED): Promise<(readonly [number, number | undefined])[]> => {
    const { earlierEvents } = await getApp(bus, "flight-delays");
    return (earlierEvents[type]?.schemas ?? []).map(({ version, fields }) => [version, fields["distance"]?.max]);
  };
  // Numbers may be left out: 3, 6, 9 …
  for (let change = 1; change <= 33; change += 1) await applyApp(bus, written(3 * change));
  const earlier = Array.from({ length: 32 }, (_, index) => [3 * (index + 1), 6_000 + 3 * (index + 1)]);
  assert.deepEqual(await keptOf(), earlier);
  // A change of anything else adds none.
  await applyApp(bus, written(99).replace("deadline: 250ms", "deadline: 100ms"));
  assert.deepEqual(await keptOf(), earlier);
  await applyApp(bus, written(102));
  assert.deepEqual(await keptOf(), [...earlier.slice(1), [99, 6_099]]);
  assert.deepEqual(await keptOf(LANDED), []);
});
