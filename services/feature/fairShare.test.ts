import assert from "node:assert/strict";
import { test } from "node:test";
import { fairShare, type LeaseView } from "./fairShare.ts";
import { randomNumbers } from "./randomForTests.ts";

const leasesOf = (...holders: (string | undefined)[]): LeaseView[] =>
  holders.map((holder, partition) => ({ partition, holder, expired: false }));

test("a replica that is alone takes all", () => {
  assert.deepEqual(fairShare("a", [], leasesOf(undefined, undefined)), { take: [0, 1], giveBack: [] });
  assert.deepEqual(fairShare("a", ["a"], leasesOf("a", "a")), { take: [], giveBack: [] });
});

test("when another one comes, the first gives back what is above its share, and the other takes only what is free", () => {
  const leases = leasesOf("a", "a", "a", "a");
  assert.deepEqual(fairShare("a", ["b"], leases), { take: [], giveBack: [2, 3] });
  assert.deepEqual(fairShare("b", ["a"], leases), { take: [], giveBack: [] });
  assert.deepEqual(fairShare("b", ["a"], leasesOf("a", "a", undefined, undefined)), { take: [2, 3], giveBack: [] });
});

test("what a dead replica had is taken over, not what a living one has", () => {
  const leases = leasesOf("dead", "b").map((lease) => ({ ...lease, expired: lease.holder === "dead" }));
  assert.deepEqual(fairShare("a", ["b"], leases), { take: [0], giveBack: [] });
  assert.deepEqual(fairShare("b", ["a"], leases), { take: [], giveBack: [] });
});

test("from any beginning, with replicas that come and go, the shares become even, and nothing moves any more", () => {
  const random = randomNumbers(3);
  for (let round = 0; round < 300; round += 1) {
    const names = ["a", "b", "c", "d", "e"].slice(0, 1 + Math.floor(random() * 5));
    const partitions = 1 + Math.floor(random() * 12);
    const holders = Array.from(
      { length: partitions },
      () => ["a", "b", "c", "gone", undefined][Math.floor(random() * 5)],
    );
    let moved = true;
    for (let step = 0; step < 10 && moved; step += 1) {
      moved = false;
      for (const name of names) {
        const leases = holders.map((holder, partition) => ({
          partition,
          holder,
          expired: holder !== undefined && !names.includes(holder),
        }));
        const { take, giveBack } = fairShare(name, names, leases);
        for (const partition of giveBack) holders[partition] = undefined;
        for (const partition of take) holders[partition] = name;
        moved ||= take.length + giveBack.length > 0;
      }
    }
    assert.equal(moved, false, "it does not come to rest");
    const sizes = names.map((name) => holders.filter((holder) => holder === name).length);
    assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, sizes.join(", "));
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      partitions,
    );
  }
});
