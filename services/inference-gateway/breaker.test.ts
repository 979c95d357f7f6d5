import assert from "node:assert/strict";
import { test } from "node:test";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import { randomNumbers } from "./randomNumbers.ts";

const OPTIONS: BreakerOptions = {
  window: 10,
  minFailures: 3,
  failureShare: 0.5,
  openMs: 100,
  maxOpenMs: 400,
  probes: 2,
};

function opened(): Breaker {
  const breaker = new Breaker(OPTIONS);
  for (let call = 0; call < 3; call += 1) {
    assert.equal(breaker.allow(0), true);
    breaker.failure(0);
  }
  return breaker;
}

test("it opens after enough failures, and lets nothing through until its time has passed", () => {
  const breaker = opened();
  assert.equal(breaker.state(0), "open");
  assert.equal(breaker.allow(99), false);
  assert.equal(breaker.state(100), "half-open");
});

test("failures among many successes do not open it", () => {
  const breaker = new Breaker(OPTIONS);
  for (let call = 0; call < 100; call += 1) {
    if (call % 4 === 0) breaker.failure(call);
    else breaker.success(call);
    assert.equal(breaker.state(call), "closed");
  }
});

test("half-open, one call at a time probes, and enough good ones close it", () => {
  const breaker = opened();
  assert.equal(breaker.allow(100), true);
  assert.equal(breaker.allow(100), false);
  breaker.success(101);
  assert.equal(breaker.allow(102), true);
  breaker.success(103);
  assert.equal(breaker.state(103), "closed");
  assert.equal(breaker.allow(103) && breaker.allow(103), true);
});

test("a failed probe opens it again for twice as long, up to the limit", () => {
  const breaker = opened();
  let now = 0;
  for (const openMs of [100, 200, 400, 400]) {
    assert.equal(breaker.allow(now + openMs - 1), false);
    now += openMs;
    assert.equal(breaker.allow(now), true);
    breaker.failure(now);
  }
});

test("a probe that says nothing about the model lets the next call probe", () => {
  const breaker = opened();
  assert.equal(breaker.allow(100), true);
  breaker.abandon();
  assert.equal(breaker.allow(100), true);
});

test("whatever happens, a model that answers well again is asked again", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = randomNumbers(seed);
    const breaker = new Breaker(OPTIONS);
    let now = 0;
    for (let call = 0; call < 200; call += 1) {
      now += random() * 50;
      if (!breaker.allow(now)) continue;
      const end = random();
      if (end < 0.5) breaker.failure(now);
      else if (end < 0.8) breaker.success(now);
      else breaker.abandon();
    }
    for (let call = 0; call < 10 && breaker.state(now) !== "closed"; call += 1) {
      now += 400;
      if (breaker.allow(now)) breaker.success(now);
    }
    assert.equal(breaker.state(now), "closed");
  }
});
