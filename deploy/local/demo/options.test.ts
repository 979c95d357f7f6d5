import assert from "node:assert/strict";
import { test } from "node:test";
import { day, readDemoOptions } from "./options.ts";

const read = (...commandArguments: string[]) => {
  const options = readDemoOptions(commandArguments);
  if (options === undefined) return undefined;
  const { fromMs, liveFromMs, toMs, exit } = options;
  return [day(fromMs), day(liveFromMs), day(toMs), exit];
};

test("by default there are three weeks of history and two of live traffic, and the system stays up", () => {
  assert.deepEqual(read(), ["2001-01-01", "2001-01-22", "2001-02-05", false]);
});

test("each option changes its part", () => {
  assert.deepEqual(read("--full", "--exit"), ["2001-01-01", "2001-01-22", "2001-07-01", true]);
  assert.deepEqual(read("--from", "2001-03-01"), ["2001-03-01", "2001-03-22", "2001-04-05", false]);
  assert.deepEqual(read("--history-days", "7", "--to", "2001-01-10"), [
    "2001-01-01",
    "2001-01-08",
    "2001-01-10",
    false,
  ]);
  assert.equal(read("--help"), undefined);
});

test("live traffic ends where the data ends", () => {
  assert.deepEqual(read("--from", "2001-06-05"), ["2001-06-05", "2001-06-26", "2001-07-01", false]);
});

test("a wrong option is named, with what it must be", () => {
  assert.throws(() => read("--from", "1 March"), /--from must be a date such as 2001-01-22, not "1 March"/);
  assert.throws(() => read("--from", "2000-12-31"), /between 2001-01-01 and 2001-07-01/);
  assert.throws(() => read("--to", "2001-01-22"), /no live traffic is left: it would begin on 2001-01-22/);
  assert.throws(() => read("--history-days", "0"), /--history-days must be a whole number from 1 to 180, not "0"/);
  assert.throws(() => read("--fast"), /--fast.*--help/);
});
