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

  /** Questions of calls with so long come at once, as many as it takes. */
  burst(leftMs: number): number {
    let taken = 0;
    for (; taken < 100_000 && !this.load.overloaded(1, leftMs); taken += 1) this.load.began(1);
    return taken;
  }

  /** How many that are. */
  room(leftMs: number): number {
    const taken = this.burst(leftMs);
    this.load.began(-taken);
    return taken;
  }
}

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) <= 0.05 * expected, `${actual} is not about ${expected}`);

test("so many questions are taken as the thread can answer in a quarter of their time, by what they cost it", () => {
  const thread = new Thread();
  near(thread.room(400), 500);
  thread.answers(10_000, 0.1);
  near(thread.room(400), 1_000);
  near(thread.room(4_000), 10_000);
  thread.answers(10_000, 0.5);
  near(thread.room(400), 200);
});

test("questions that wait for a slow model while the thread has nothing to do keep nobody out", () => {
  const thread = new Thread();
  thread.answers(10_000, 0.1);
  near(thread.burst(400), 1_000);
  thread.works(100);
  thread.waits(20);
  near(thread.burst(400), 1_000);
  assert.ok(thread.load.inHand > 1_900);
  thread.works(100);
  assert.equal(thread.burst(400), 0, "while it works they wait for the thread");
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
  near(thread.room(400), 1_000);
});

test("a second of other work with a few answers in it says nothing about what they cost", () => {
  const thread = new Thread();
  for (let second = 0; second < 10; second += 1) thread.answers(3, 350);
  near(thread.room(400), 500);
});

test("an estimate that is too high comes down by itself, for some questions are always taken", () => {
  const thread = new Thread();
  thread.answers(1_000, 20);
  assert.equal(thread.room(400), 128);
  thread.answers(10_000, 0.1, 1);
  near(thread.room(400), 1_000);
});

test("streams are slowed down long before calls are refused", () => {
  const thread = new Thread();
  thread.answers(10_000, 0.1);
  thread.load.began(240);
  assert.equal(thread.load.hasRoom, true);
  thread.load.began(20);
  assert.equal(thread.load.hasRoom, false);
  assert.equal(thread.load.overloaded(1, 250), false);
});

test("when nothing is in hand, a batch is taken whatever its size", () => {
  const { load } = new Thread();
  assert.equal(load.overloaded(100_000, 1), false);
  load.began(1);
  assert.equal(load.overloaded(100_000, 1), true);
});
