import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentIds } from "./recentIds.ts";

test("an id is new once, as long as not too many others have come", () => {
  const ids = new RecentIds(100);
  assert.deepEqual([ids.add("a"), ids.add("a")], [true, false]);
  for (let other = 0; other < 100; other += 1) ids.add(`${other}`);
  assert.equal(ids.add("a"), false);
  for (let other = 100; other < 300; other += 1) ids.add(`${other}`);
  assert.equal(ids.add("a"), true);
});
