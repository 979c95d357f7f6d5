import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { EntityCache } from "./entityCache.ts";

const state = (count: number): Uint8Array =>
  toBinary(
    EntityStateSchema,
    create(EntityStateSchema, { series: [{ definition: 1n, firstTile: 1n, tileSteps: [0], components: [count] }] }),
  );
const countOf = (cache: EntityCache, key: string): number | undefined => cache.lookup(key)?.series[0]?.components[0];

test("within its bytes it holds everything, and knows that it does", () => {
  const cache = new EntityCache(1 << 20, silentLogger);
  for (let index = 0; index < 100; index += 1) cache.put(`e.${index}`, state(index), index + 1);
  assert.equal(cache.partial, false);
  for (let index = 0; index < 100; index += 1) assert.equal(countOf(cache, `e.${index}`), index);
  assert.equal(cache.size, 100);
});

test("beyond its bytes the least recently used go first", () => {
  const cache = new EntityCache(20 * (200 + state(1).length), silentLogger);
  for (let index = 0; index < 20; index += 1) cache.put(`e.${index}`, state(index), index + 1);
  cache.put("e.20", state(20), 21);
  assert.equal(cache.partial, true);
  assert.equal(cache.use("e.0"), undefined);
  const oldest = cache.use("e.2");
  assert.ok(oldest);
  cache.put("e.21", state(21), 22);
  cache.put("e.22", state(22), 23);
  assert.equal(cache.use("e.2"), oldest);
  assert.equal(cache.use("e.3"), undefined);
});

test("its bytes are those of what it holds, decoded or not, however entries come and go", () => {
  const cache = new EntityCache(5_000, silentLogger);
  for (let round = 0; round < 2_000; round += 1) {
    const key = `e.${(round * 7) % 31}`;
    if (round % 5 === 0) cache.remove(key);
    else if (round % 3 === 0) cache.lookup(key);
    else cache.put(key, state(round), round + 1);
    assert.ok(cache.bytes >= 0 && cache.bytes <= 5_000 * 1.6, `round ${round}: ${cache.bytes}`);
  }
  for (let index = 0; index < 31; index += 1) cache.remove(`e.${index}`);
  assert.equal(cache.bytes, 0);
});

test("an older state does not replace a newer one", () => {
  const cache = new EntityCache(1 << 20, silentLogger);
  cache.put("e", state(2), 2);
  assert.equal(cache.put("e", state(1), 1).revision, 2);
  assert.equal(countOf(cache, "e"), 2);
});

test("entities that exist no more are removed; those known not to exist stay", () => {
  const cache = new EntityCache(1 << 20, silentLogger);
  cache.put("gone", state(1), 1);
  cache.put("here", state(2), 2);
  cache.put("none", new Uint8Array(), 0);
  cache.keepOnly(new Set(["here"]));
  assert.equal(cache.use("gone"), undefined);
  assert.ok(cache.use("here"));
  assert.ok(cache.use("none"));
});

test("bytes that are no state are as no state, and are told once", () => {
  const errors: unknown[] = [];
  const logger = { error: (_: unknown, text: string) => errors.push(text) } as unknown as typeof silentLogger;
  const cache = new EntityCache(1 << 20, logger);
  cache.put("bad", Uint8Array.of(0xff, 0xff), 1);
  assert.equal(cache.lookup("bad"), undefined);
  assert.equal(cache.lookup("bad"), undefined);
  assert.equal(errors.length, 1);
});
