import assert from "node:assert/strict";
import { test } from "node:test";
import { ThreadLoad } from "./threadLoad.ts";

/** A thread of which the test says when it works, and when it waits. */
class Thread {
  #now = 1_000;
  #busy = 500;
  readonly load = new ThreadLoad({ clock: { now: () => this.#now }, busyMs: () => this.#busy });

  works(ms: number): void {
    this.#now += ms;
    this.#busy += ms;
  }

  waits(ms: number): void {
    this.#now += ms;
  }

  /** Questions one after the other, each so much work, with so long a pause behind it. */
  answers(count: number, workMs: number, pauseMs = 0): void {
    for (let question = 0; question < count; question += 1) {
      this.load.began(1);
      this.works(workMs);
      this.waits(pauseMs);
      this.load.ended(1);
    }
  }

  /** How many questions of calls with so long it takes at once. */
  room(leftMs: number): number {
    let taken = 0;
    for (; taken < 100_000 && !this.load.overloaded(1, leftMs); taken += 1) this.load.began(1);
    for (let question = 0; question < taken; question += 1) this.load.began(-1);
    return taken;
  }
}

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) <= 0.05 * expected, `${actual} is not about ${expected}`);

test("so many questions are taken as the thread can answer in a third of their time, by what they cost it", () => {
  const thread = new Thread();
  near(thread.room(300), 500);
  thread.answers(10_000, 0.1);
  near(thread.room(300), 1_000);
  near(thread.room(3_000), 10_000);
  thread.answers(10_000, 0.5);
  near(thread.room(300), 200);
});

test("what waits for a slow model, and costs the thread little, is taken as long as that remains little", () => {
  const thread = new Thread();
  thread.answers(2_000, 0.1, 5);
  near(thread.load.msPerQuestion, 0.1);
  near(thread.room(300), 1_000);
});

test("what else the thread does while it has time to spare is not taken for the cost of questions", () => {
  const thread = new Thread();
  thread.answers(10_000, 0.1);
  // A question in a second, and 300 ms of other work.
  for (let second = 0; second < 60; second += 1) {
    thread.works(300);
    thread.waits(700);
    thread.answers(1, 0.1);
  }
  near(thread.room(300), 1_000);
});

test("an estimate that is too high comes down by itself, for some questions are always taken", () => {
  const thread = new Thread();
  thread.answers(1_000, 50);
  assert.equal(thread.room(300), 64);
  thread.answers(10_000, 0.1, 1);
  near(thread.room(300), 1_000);
});

test("when nothing is in hand, a batch is taken whatever its size", () => {
  const { load } = new Thread();
  assert.equal(load.overloaded(100_000, 1), false);
  load.began(1);
  assert.equal(load.overloaded(100_000, 1), true);
});
