import assert from "node:assert/strict";
import { test } from "node:test";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { APP_TEXT, appForTests, fieldsOf, type Plain, randomNumbers } from "./appForTests.ts";
import { EntityKeys } from "./entityKey.ts";
import { addPair, multiply } from "./exactSum.ts";
import { compileFeatures, entityKey } from "./mod.ts";

test("a vector's order is the alphabet's", () => {
  const { names } = compileFeatures(appForTests());
  assert.deepEqual(names, [...names].sort());
  assert.equal(names.length, 21);
});

test("features that differ only in their window share their tiles", () => {
  const { plan } = compileFeatures(appForTests());
  const lane = plan.entities.find(({ name }) => name === "lane");
  const sharing = lane?.series.filter(({ kind, tileMs }) => kind.layout === "count, sum pair" && tileMs === 5_000);
  assert.deepEqual(
    sharing?.map(({ longestWindow }) => longestWindow),
    [24],
  );
});

test("a request's keys are those of the entities that it identifies", () => {
  const set = compileFeatures(appForTests());
  assert.deepEqual(set.entityKeys(fieldsOf({ depot: "a", target: "b" })).sort(), ["depot.a", "lane.a.b"]);
  assert.deepEqual(set.entityKeys(fieldsOf({ depot: "a" })), ["depot.a"]);
});

test("different key values never share a key, and every key is allowed in a bucket", () => {
  const parts = ["", "a", "A", "a.b", "a b", "=", "=61", "é", "*", ">", "a/b", "_-", "\u0000", "𝄞"];
  const keys = parts.flatMap((first) =>
    parts.map((second) => entityKey("lane", ["x", "y"], fieldsOf({ x: first, y: second })) ?? ""),
  );
  assert.equal(new Set(keys).size, parts.length ** 2);
  for (const key of keys) assert.match(key, /^[-/=.\w]+$/);
});

test("a key that is remembered is the one that would be made, however many there are", () => {
  const random = randomNumbers(3);
  const keys = new EntityKeys("lane", ["x", "y"]);
  const parts = ["", "a", "a.b", "=61", "é", 5n, true, 2.5, undefined];
  const fields = (): Record<string, Value> => {
    const plain = { x: parts[Math.floor(random() * parts.length)], y: parts[Math.floor(random() * parts.length)] };
    return fieldsOf(Object.fromEntries(Object.entries(plain).filter(([, part]) => part !== undefined)) as Plain);
  };
  for (let round = 0; round < 90_000; round += 1) {
    const wanted = round % 3 === 0 ? fields() : fieldsOf({ x: `${round % 7}`, y: `y ${round}` });
    assert.equal(keys.of(wanted), entityKey("lane", ["x", "y"], wanted));
    assert.equal(keys.of(wanted), entityKey("lane", ["x", "y"], wanted));
  }
});

test("an aggregate that does not exist is refused with the place in the file", () => {
  const app = appForTests();
  const feature = app.features["pieces_max"];
  assert.ok(feature);
  feature.aggregate = 99 as never;
  assert.throws(
    () => compileFeatures(app),
    (error) =>
      error instanceof MillraceError &&
      error.code === "invalid_argument" &&
      /^features\.pieces_max\.aggregate: 99 is none of COUNT, .*DISTINCT/.test(error.message),
  );
});

test("a tile that does not divide its window is refused with the place in the file", () => {
  const app = appForTests(APP_TEXT);
  const feature = app.features["sent_1m"];
  assert.ok(feature?.tile);
  feature.tile.seconds = 7n;
  assert.throws(() => compileFeatures(app), /features\.sent_1m\.tile: .*60000 ms.*7000 ms/);
});

test("sums of doubles do not depend on the order, while their sizes differ by less than 2^48", () => {
  const random = randomNumbers(11);
  const values = Array.from({ length: 300 }, () => (random() - 0.5) * 2 ** Math.floor(random() * 38));
  const sum = (order: readonly number[], groups: number): number[] => {
    const tiles = Array.from({ length: groups }, () => [0, 0]);
    order.forEach((value, index) => addPair(tiles[index % groups] as number[], 0, value, 0));
    const total = [0, 0];
    for (const [high, low] of tiles) addPair(total, 0, high as number, low as number);
    return total;
  };
  const expected = sum(values, 1);
  for (let round = 0; round < 50; round += 1) {
    const order = values.toSorted(() => random() - 0.5);
    assert.deepEqual(sum(order, 1 + (round % 7)), expected);
  }
});

test("the product of two doubles is exact", () => {
  const random = randomNumbers(5);
  for (let round = 0; round < 1_000; round += 1) {
    const left = Math.floor(random() * 2 ** 53);
    const right = Math.floor(random() * 2 ** 53);
    const [product, error] = multiply(left, right);
    assert.equal(BigInt(product) + BigInt(error), BigInt(left) * BigInt(right));
  }
});
