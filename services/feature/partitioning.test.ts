import assert from "node:assert/strict";
import { test } from "node:test";
import { ownedBy, partitionOf } from "./partitioning.ts";

const keys = Array.from({ length: 8_000 }, (_, index) => `route.A${index % 89}.B${index}`);

test("every entity belongs to one partition, and partitions are about as large as each other", () => {
  for (const partitions of [2, 3, 4, 16]) {
    const owners = Array.from({ length: partitions }, (_, partition) => ownedBy({ partition, partitions }));
    const sizes = owners.map((owns) => keys.filter((key) => owns?.(key)).length);
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      keys.length,
    );
    for (const size of sizes) assert.ok(Math.abs(size / (keys.length / partitions) - 1) < 0.2, sizes.join(", "));
  }
});

test("one partition owns all, and is not asked", () => {
  assert.equal(ownedBy({ partition: 0, partitions: 1 }), undefined);
});

test("an entity's partition never changes: features lie in buckets and checkpoints by it", () => {
  assert.deepEqual(
    ["origin.ORD", "route.ORD.LAX", "origin.söuth", ""].map((key) => partitionOf(key, 4)),
    PINNED,
  );
});

const PINNED = [1, 0, 2, 1];
