import assert from "node:assert/strict";
import { test } from "node:test";
import { EventClock } from "./eventClock.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const WAIT_MS = 36 * HOUR_MS;

const clockAt = (hour: number, elapsedMs = 0): EventClock =>
  new EventClock({ nowMs: hour * HOUR_MS, ahead: 0 }, WAIT_MS, elapsedMs);
const at = (hour: number, knownHour = hour) => ({ occurredAtMs: hour * HOUR_MS, knownAtMs: knownHour * HOUR_MS });
const hourOf = (clock: EventClock): number => (clock.state.nowMs ?? Number.NaN) / HOUR_MS;

test("the clock is the latest time that is told, and never goes back", () => {
  const clock = new EventClock({ nowMs: undefined, ahead: 0 }, WAIT_MS, 0);
  for (const hour of [5, 9, 7, 30, 29]) clock.observe(at(hour));
  clock.observe(at(10, 32));
  assert.equal(hourOf(clock), 32);
});

test("one event dated years ahead moves nothing, nor do those after it, whose stream has leapt with it", () => {
  const clock = clockAt(100);
  const years = 25 * 365 * 24;
  clock.observe(at(years));
  for (let hour = 100; hour < 200; hour += 1) clock.observe(at(hour, years));
  assert.equal(hourOf(clock), 199);
  assert.equal(clock.isAhead(25 * YEAR_MS), true);
  assert.equal(clock.knownAt(at(150, years)), 199 * HOUR_MS, "known at the latest when it is looked at");
  assert.equal(clock.knownAt(at(150, 180)), 180 * HOUR_MS);
});

test("a gap in a replay is believed once twenty messages in a row are beyond it, also across batches", () => {
  let clock = clockAt(100);
  for (let count = 0; count < 19; count += 1) clock.observe(at(500 + count));
  assert.equal(hourOf(clock), 100);
  clock = new EventClock(clock.state, WAIT_MS, 0);
  clock.observe(at(519));
  assert.equal(hourOf(clock), 519);
});

test("a message of the old time between them begins the count again", () => {
  const clock = clockAt(100);
  for (let count = 0; count < 40; count += 1) {
    clock.observe(at(500));
    if (count % 10 === 9) clock.observe(at(101));
  }
  assert.equal(hourOf(clock), 101);
});

test("a live stream that was quiet for weeks goes on at once: as much has passed on the wall", () => {
  const clock = clockAt(100, 500 * HOUR_MS);
  clock.observe(at(600));
  assert.equal(hourOf(clock), 600);
});
