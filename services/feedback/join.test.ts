import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { parseApp } from "@millrace/app";
import { connectDatabase, type Database, migrate } from "@millrace/db";
import type { Outbox } from "@millrace/outbox";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { startPostgres, type TestPostgres } from "@millrace/test-harness";
import type { FollowedApp } from "./apps.ts";
import { Joiner } from "./joiner.ts";
import type { JoinScope, Stored } from "./joinTransaction.ts";
import { LABEL_SOURCES, type Label, LabelRule } from "./labelRule.ts";
import type { LabelWatch } from "./labelWatch.ts";
import { migrations } from "./migrations/migrations.ts";
import { encodeFeatures, type PredictionRow } from "./predictionRow.ts";
import type { Retraining } from "./retraining.ts";
import { OutcomeStore } from "./store.ts";

// The join against a model of it, a few lines over lists: whatever the order in which predictions and labels arrive, in whichever
// batches, however often each of them comes, the same must come out.

const FLIGHTS = readFileSync(new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");
const HOUR_MS = 3_600_000;
const WINDOW = { waitMs: 6 * HOUR_MS, earlyMs: 3 * HOUR_MS, correctionsMs: 10 * HOUR_MS };
const SEEDS = 12;

let postgres: TestPostgres;
let database: Database;
before(async () => {
  postgres = await startPostgres();
  database = await connectDatabase({ url: postgres.url("feedback"), schema: "feedback" }, silentLogger);
  await migrate(database, migrations);
});
after(async () => {
  await database[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** The truth about a prediction, of all labels of its key; undefined when none came in time. */
function truthOf({ predictedAtMs }: PredictionRow, labels: readonly Label[]): Label | undefined {
  const counting = labels.filter(
    ({ knownAtMs }) => knownAtMs >= predictedAtMs - WINDOW.earlyMs && knownAtMs <= predictedAtMs + WINDOW.correctionsMs,
  );
  if (!counting.some(({ knownAtMs }) => knownAtMs <= predictedAtMs + WINDOW.waitMs)) return undefined;
  return counting.toSorted(byRank).at(-1);
}

const byRank = (a: Label, b: Label): number =>
  a.occurredAtMs - b.occurredAtMs ||
  LABEL_SOURCES.indexOf(a.source) - LABEL_SOURCES.indexOf(b.source) ||
  Number(a.logSequence - b.logSequence);

const contradict = (a: Label, b: Label): boolean =>
  a.joinKey === b.joinKey &&
  a.value !== b.value &&
  (a.occurredAtMs === b.occurredAtMs || a.source !== b.source) &&
  byRank(a, b) > 0;

/** mulberry32: small, and the same on every machine. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A day with few keys and few times, so that ties and contradictions are many. */
function scenario(random: (below: number) => number): { predictions: PredictionRow[]; labels: Label[] } {
  const key = (): string => `k${random(8)}`;
  const predictions = Array.from({ length: 25 }, (_, index) => prediction(`p${index}`, key(), random(20) * HOUR_MS));
  let knownAtMs = 0;
  const labels = Array.from({ length: 40 }, (_, index): Label => {
    knownAtMs += random(3) * (HOUR_MS / 2);
    return {
      joinKey: key(),
      eventId: `l${index}`,
      source: LABEL_SOURCES[random(3)] as Label["source"],
      value: random(2),
      occurredAtMs: Math.max(0, knownAtMs - random(4) * HOUR_MS),
      knownAtMs,
      logSequence: BigInt(index),
      traceparent: "",
    };
  });
  return { predictions, labels };
}

const prediction = (id: string, joinKey: string, predictedAtMs: number): PredictionRow => ({
  id,
  requestId: id,
  joinKey,
  predictedAtMs,
  probability: 0.5,
  decision: "",
  modelVersion: "app/1",
  madeBy: MadeBy.CHAMPION,
  features: encodeFeatures([]),
  answer: null,
  traceparent: "",
});

/** Every item at least once, some again, in any order, in batches of any size. */
function deliveries<Item>(items: readonly Item[], random: (below: number) => number): Item[][] {
  const queue = [...items, ...items.filter(() => random(3) === 0)];
  for (let place = queue.length - 1; place > 0; place -= 1) {
    const other = random(place + 1);
    [queue[place], queue[other]] = [queue[other] as Item, queue[place] as Item];
  }
  const batches: Item[][] = [];
  while (queue.length > 0) batches.push(queue.splice(0, 1 + random(6)));
  return batches;
}

for (let seed = 1; seed <= SEEDS; seed += 1) {
  test(`whatever the order of arrival, a prediction's truth is what the rule says of all its labels (seed ${seed})`, async () => {
    const random = randomOf(seed);
    const scope: JoinScope = { app: `app-${seed}`, classes: [], windowMs: 4 * HOUR_MS, ...WINDOW };
    const store = new OutcomeStore(database, { now: () => 0 });
    const { predictions, labels } = scenario(random);
    const work = [
      ...deliveries(predictions, random).map((rows) => () => store.storePredictions(scope, rows, 20 * HOUR_MS)),
      ...deliveries(labels, random).map((batch) => () => store.storeLabels(scope, batch)),
    ];
    const told: Stored[] = [];
    for (const next of deliveries(work, random).flat()) told.push(await next());
    checkOutcomes(predictions, labels, told);
    const pairs = labels.flatMap((a) => labels.filter((b) => contradict(a, b)).map((b) => `${a.eventId} ${b.eventId}`));
    assert.deepEqual(await contradictionsOf(scope.app), pairs.toSorted());
    assert.equal(
      told.reduce((sum, { labels: counts }) => sum + counts.stored, 0),
      labels.length,
    );
    await checkWindows(scope, predictions, labels);
  });
}

/** Revisions follow each other without a gap, each says what it replaces, and the last is the truth. */
function checkOutcomes(predictions: readonly PredictionRow[], labels: readonly Label[], told: readonly Stored[]): void {
  const last = new Map<string, { revision: number; label: number }>();
  for (const { body } of told.flatMap(({ entries }) => entries)) {
    for (const { predictionId, revision, label, previousLabel } of fromBinary(OutcomesSchema, body).outcomes) {
      const before = last.get(predictionId);
      assert.equal(revision, (before?.revision ?? 0) + 1);
      assert.equal(previousLabel, before?.label);
      assert.notEqual(label, before?.label, "a revision that changes nothing is none");
      last.set(predictionId, { revision, label });
    }
  }
  for (const row of predictions) {
    const truth = truthOf(
      row,
      labels.filter(({ joinKey }) => joinKey === row.joinKey),
    );
    assert.equal(
      last.get(row.id)?.label,
      truth?.value,
      `${row.id} of ${row.joinKey} at ${row.predictedAtMs / HOUR_MS}`,
    );
  }
}

async function contradictionsOf(app: string): Promise<string[]> {
  const rows = await database.query<{ pair: string }>({
    text: "SELECT event_id || ' ' || other_event_id AS pair FROM contradiction WHERE app = $1",
    values: [app],
  });
  return rows.map(({ pair }) => pair).toSorted();
}

async function checkWindows(
  { app, windowMs }: JoinScope,
  predictions: readonly PredictionRow[],
  labels: readonly Label[],
): Promise<void> {
  const expected = new Map<number, [number, number]>();
  for (const row of predictions) {
    const from = row.predictedAtMs - (row.predictedAtMs % windowMs);
    const [made, labelled] = expected.get(from) ?? [0, 0];
    const own = labels.filter(({ joinKey }) => joinKey === row.joinKey);
    expected.set(from, [made + 1, labelled + (truthOf(row, own) === undefined ? 0 : 1)]);
  }
  const rows = await database.query<{ from: number; predictions: number; labelled: number; delays: number }>({
    text: `SELECT window_from::float8 AS from, predictions::float8 AS predictions, labelled::float8 AS labelled,
        (SELECT coalesce(sum(labels), 0)::float8 FROM label_delay d WHERE d.app = w.app AND d.window_from = w.window_from) AS delays
      FROM label_window w WHERE app = $1`,
    values: [app],
  });
  assert.deepEqual(
    rows.map(({ from, predictions: made, labelled, delays }) => [from, made, labelled, delays]).toSorted(byFirst),
    [...expected].map(([from, [made, labelled]]) => [from, made, labelled, labelled]).toSorted(byFirst),
  );
}

const byFirst = (a: readonly number[], b: readonly number[]): number => (a[0] as number) - (b[0] as number);

for (const pending of [true, false]) {
  const what = pending ? "kept, and found" : "forgotten after the wait";
  test(`labels far ahead of predictions that ${pending ? "still wait on" : "are not on"} the bus are ${what}`, async () => {
    const name = `lagging-${pending}`;
    const app = parseApp(FLIGHTS.replace("app: flight-delays", `app: ${name}`).replace("wait: 36h", "wait: 6h"));
    const nothing = { publish: async () => undefined, onProgress: async () => undefined };
    const store = new OutcomeStore(database, { now: () => 0 });
    const joiner = new Joiner({
      app: () => ({ name, label: new LabelRule(app), windowMs: HOUR_MS }) as FollowedApp,
      store,
      outbox: nothing as unknown as Outbox,
      retraining: nothing as unknown as Retraining,
      labelWatch: nothing as unknown as LabelWatch,
      predictionsPending: () => Promise.resolve(pending),
    });
    const label = (joinKey: string, hour: number): Label => ({
      joinKey,
      eventId: `label of ${joinKey}`,
      source: "event",
      value: 1,
      occurredAtMs: hour * HOUR_MS,
      knownAtMs: hour * HOUR_MS,
      logSequence: BigInt(hour),
      traceparent: "",
    });
    await joiner.addPredictions(name, [prediction(`${name} 1`, "f1", 100 * HOUR_MS)], 100 * HOUR_MS);
    for (let hour = 101; hour < 140; hour += 4) await joiner.addLabels(name, [label(`f${hour}`, hour)]);
    await joiner.addPredictions(name, [prediction(`${name} 2`, "f101", 100 * HOUR_MS)], 100 * HOUR_MS);
    const [row] = await database.query<{ label: number | null }>({
      text: "SELECT label FROM prediction WHERE app = $1 AND join_key = 'f101'",
      values: [name],
    });
    assert.equal(row?.label, pending ? 1 : null);
  });
}
