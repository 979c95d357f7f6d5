import assert from "node:assert/strict";
import { test } from "node:test";
import { Backlog } from "./backlog.ts";

/** 4 ms for one row, 32 ms for 64. */
const COSTS = new Map([
  [1, 4],
  [64, 32],
]);
const MAX = 64;

const near = (actual: number, expected: number, share = 0.05): void =>
  assert.ok(Math.abs(actual - expected) <= share * expected, `${actual} is not about ${expected}`);

/** Runs of one worker, one after the other, each of so many rows and so long; when the last has ended. */
function run(backlog: Backlog, count: number, rows: number, ms: number, from = 0): number {
  let now = from;
  for (let each = 0; each < count; each += 1) {
    backlog.started(rows, now);
    backlog.ended(rows, (now += ms), true);
  }
  return now;
}

test("before any run the warm-up tells how long a queue takes, in batches of the size in use", () => {
  const backlog = new Backlog(COSTS);
  assert.equal(backlog.runMs(1, MAX), 4);
  assert.equal(backlog.runMs(64, MAX), 32);
  assert.equal(backlog.runMs(129, MAX), 68);
  assert.equal(backlog.runMs(64, 1), 256);
  near(backlog.runMs(32, MAX), 18, 0.1);
});

test("what runs is part of it, less the time that it has run", () => {
  const backlog = new Backlog(COSTS);
  backlog.started(64, 100);
  backlog.started(64, 101);
  assert.equal(backlog.runningMs(110), 54);
  backlog.ended(64, 132, true);
  assert.equal(backlog.runningMs(142), 22);
  assert.equal(backlog.runningMs(500), 0);
});

test("several workers share the work: what counts is the time between the ends of their runs", () => {
  const backlog = new Backlog(COSTS);
  for (let now = 0; now < 1_000; now += 32) {
    for (let worker = 0; worker < 2; worker += 1) backlog.started(64, now);
    for (let worker = 0; worker < 2; worker += 1) backlog.ended(64, now + 31 + worker, true);
  }
  near(backlog.runMs(640, MAX), 160, 0.15);
});

test("the estimate follows a model that becomes slower, and one that becomes faster, within some runs", () => {
  const backlog = new Backlog(COSTS);
  let now = run(backlog, 20, 64, 320);
  near(backlog.runMs(64, MAX), 320);
  now = run(backlog, 25, 64, 32, now + 1_000);
  near(backlog.runMs(64, MAX), 32);
  run(backlog, 25, 1, 4, now);
  near(backlog.runMs(1, MAX), 4);
});

test("one run that takes a second says little about the next", () => {
  const backlog = new Backlog(COSTS);
  const now = run(backlog, 10, 64, 32);
  run(backlog, 1, 64, 1_000, now);
  assert.ok(backlog.runMs(64, MAX) < 50, `${backlog.runMs(64, MAX)} ms`);
});

test("a run that failed is not learned from, however long it took", () => {
  const backlog = new Backlog(COSTS);
  backlog.started(64, 0);
  backlog.ended(64, 2_000, false);
  assert.equal(backlog.runMs(64, MAX), 32);
});

test("a newcomer is refused when those before it would make it late, and not before", () => {
  const backlog = new Backlog(COSTS);
  backlog.started(64, 0);
  const comes = (rowsAhead: number, leftMs: number) => backlog.overloaded({ rows: 1, rowsAhead, leftMs }, MAX, 0);
  // 32 ms run, and of 240 ms seven tenths may be used: 136 ms are left for those before it and itself.
  assert.equal(comes(4 * 64, 240), false);
  assert.equal(comes(5 * 64, 240), true);
  assert.equal(comes(5 * 64, 1_000), false);
});

test("who would be first in line is never refused, whatever is expected", () => {
  const backlog = new Backlog(COSTS);
  run(backlog, 50, 64, 10_000);
  backlog.started(64, 1e6);
  assert.equal(backlog.overloaded({ rows: 1, rowsAhead: 0, leftMs: 1 }, MAX, 1e6), false);
});

test("a deadline that is too near even for the next batch is no overload, unless that batch is full already", () => {
  const backlog = new Backlog(COSTS);
  backlog.started(64, 0);
  assert.equal(backlog.overloaded({ rows: 1, rowsAhead: 10, leftMs: 20 }, MAX, 0), false);
  assert.equal(backlog.overloaded({ rows: 1, rowsAhead: 64, leftMs: 20 }, MAX, 0), true);
});

test("an expectation that was far too high refuses some, and comes down by those that it lets in", () => {
  const backlog = new Backlog(COSTS);
  let now = run(backlog, 50, 64, 5_000);
  const refused: boolean[] = [];
  for (let each = 0; each < 60; each += 1) {
    backlog.started(1, now);
    refused.push(backlog.overloaded({ rows: 1, rowsAhead: 63, leftMs: 225 }, MAX, now));
    backlog.ended(1, (now += 4), true);
  }
  assert.equal(refused.includes(true), true);
  assert.equal(refused.slice(30).includes(true), false);
});

test("where the warm-up says nothing, the first run tells what a row costs, and nobody is refused before", () => {
  const backlog = new Backlog(new Map());
  assert.equal(backlog.overloaded({ rows: 1, rowsAhead: 1_000, leftMs: 1 }, MAX, 0), false);
  run(backlog, 1, 2, 20);
  assert.equal(backlog.runMs(5, MAX), 50);
  assert.equal(backlog.overloaded({ rows: 1, rowsAhead: 1_000, leftMs: 1_000 }, MAX, 20), true);
});

test("a batch is overdue after four times what was expected, and never while the thread may have been busy", () => {
  const backlog = new Backlog(COSTS);
  assert.equal(backlog.overdue(1e6), false);
  backlog.started(64, 0);
  assert.equal(backlog.overdue(128), false);
  assert.equal(backlog.overdue(129), true);
  backlog.ended(64, 130, false);
  backlog.started(1, 130);
  assert.equal(backlog.overdue(180), false);
  assert.equal(backlog.overdue(181), true);
});
