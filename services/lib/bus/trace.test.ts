import assert from "node:assert/strict";
import { test } from "node:test";
import { trace } from "@opentelemetry/api";
import { contextOf, linksTo, rejectedSubject, spanContextOf, traceparentOf } from "./mod.ts";

const SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a traceparent goes into a context and comes out the same", () => {
  const span = trace.getSpan(contextOf(SAMPLED));
  assert.equal(traceparentOf(span), SAMPLED);
});

test("what is unsampled, malformed or all zeroes is no trace", () => {
  for (const bad of [undefined, "", "x", SAMPLED.replace(/01$/, "00"), `00-${"0".repeat(32)}-b7ad6b7169203331-01`]) {
    assert.equal(spanContextOf(bad), undefined, String(bad));
  }
});

test("a batch links to its sampled messages, at most 128 of them", () => {
  assert.equal(linksTo([SAMPLED, "", undefined, SAMPLED]).length, 2);
  assert.equal(linksTo(Array.from({ length: 500 }, () => SAMPLED)).length, 128);
});

test("rejected messages go to a subject that names where they came from", () => {
  assert.equal(rejectedSubject("events.flights.flight.landed"), "rejected.flights.flight.landed");
  assert.equal(rejectedSubject("predictions.flights"), "rejected.flights.predictions");
  assert.equal(rejectedSubject("odd"), "rejected.unknown.odd");
});
