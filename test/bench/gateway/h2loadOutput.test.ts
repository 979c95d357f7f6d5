import assert from "node:assert/strict";
import { test } from "node:test";
import { parseH2loadLog, parseH2loadReport } from "./h2loadOutput.ts";

const report = (time: string): string => `progress: 100% done

finished in ${time}, 6231.95 req/s, 299.81KB/s
requests: 2000 total, 2000 started, 2000 done, 1990 succeeded, 10 failed, 10 errored, 0 timeout
status codes: 1990 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 96.22KB (98528) total, 10.12KB (10360) headers (space savings 96.27%), 29.30KB (30000) data
                     min         max         mean         sd        +/- sd
time for request:      391us     24.78ms      4.85ms      4.76ms    88.80%
`;

test("the report gives what was answered, what was not, and how fast", () => {
  assert.deepEqual(parseH2loadReport(report("320.93ms")), {
    requests: 1_990,
    failed: 10,
    seconds: 0.32093,
    perSecond: 6_231.95,
    answerBytes: 30_000,
  });
});

test("times of all lengths are read", () => {
  const seconds = (time: string): number => parseH2loadReport(report(time)).seconds;
  assert.equal(seconds("5.02s"), 5.02);
  assert.equal(seconds("870us"), 0.00087);
  assert.equal(seconds("01:02.50"), 62.5);
  assert.equal(seconds("01:00:02.50"), 3_602.5);
});

test("an output that is none is shown", () => {
  assert.throws(() => parseH2loadReport("could not resolve host"), /could not resolve host/);
});

test("the log gives percentiles of durations, in whatever order they came", () => {
  const log = Array.from({ length: 101 }, (_, index) => `1795817554029200\t200\t${(100 - index) * 1_000}\n`).join("");
  assert.deepEqual(parseH2loadLog(log), { p50Ms: 50, p99Ms: 99, maxMs: 100 });
});
