import assert from "node:assert/strict";
import { test } from "node:test";
import { DATA_FROM_MS } from "@millrace/flight-delays";
import type { Platform, ServiceName } from "@millrace/local";
import { demonstrate } from "@millrace/local/demo/demonstration.ts";
import { Progress } from "@millrace/local/demo/progress.ts";
import { startTestPlatform, waitFor } from "@millrace/test-harness";

const DAY_MS = 86_400_000;
const HOUR_MS = DAY_MS / 24;

/** A service is killed with SIGKILL once so many predictions have been answered. */
const KILLS: readonly { readonly service: ServiceName; readonly afterPredictions: number }[] = [
  { service: "monitor", afterPredictions: 100 },
  { service: "feature", afterPredictions: 400 },
  { service: "inference-gateway", afterPredictions: 1_000 },
  { service: "feedback", afterPredictions: 1_800 },
  { service: "ingestion", afterPredictions: 2_600 },
  { service: "training", afterPredictions: 3_400 },
];

/** Kills each service once while traffic flows, and waits until it is ready again before the next. */
async function killEachOnce(platform: Platform, progress: Progress, signal: AbortSignal): Promise<string[]> {
  const killed: string[] = [];
  for (const { service, afterPredictions } of KILLS) {
    await waitFor(() => progress.predicted >= afterPredictions, {
      deadlineMs: 240_000,
      what: `traffic to kill ${service} in`,
      signal,
    });
    await platform.supervisor.service(service).crash();
    killed.push(service);
  }
  return killed;
}

test("real flights go round the whole loop, and its promises hold though every service is killed once", async () => {
  await using system = await startTestPlatform();
  const progress = new Progress();
  const liveFromMs = DATA_FROM_MS + 3 * DAY_MS;
  const options = { fromMs: DATA_FROM_MS, liveFromMs, toMs: liveFromMs + 12 * HOUR_MS, exit: true };
  const stopping = new AbortController();
  const demonstration = demonstrate(system.platform, options, progress, stopping.signal);
  const killing = killEachOnce(system.platform, progress, stopping.signal);
  demonstration.catch((error: unknown) => stopping.abort(error));
  const [report, killed] = await Promise.all([demonstration, killing]);

  assert.equal(killed.length, KILLS.length);
  for (const { promise, holds, evidence } of report.invariants) assert.ok(holds, `${promise}: ${evidence}`);
  const { events, predictions, labels, quality, models } = report;
  assert.equal(events.published, events.accepted);
  assert.ok(predictions.answered > 6_000, `${predictions.answered} predictions`);
  assert.ok((predictions.madeBy["CHAMPION"] ?? 0) > 0.9 * predictions.answered, JSON.stringify(predictions.madeBy));
  assert.ok(labels.coverage > 0.999, `label coverage ${labels.coverage}`);
  assert.equal(models[0]?.state, "champion");
  // Three days of history make a weak model; above 0.75 it would have seen what it cannot know.
  assert.ok(
    quality !== undefined && quality.served.auc > 0.55 && quality.served.auc < 0.75,
    `AUC ${quality?.served.auc}`,
  );
  assert.ok(quality.served.logLoss < quality.baseRate.logLoss);

  // A call that was cut off by a kill is tried again seconds later, in a replay hours of event time later.
  const { answered, withInexactFeatures } = predictions;
  assert.ok(withInexactFeatures < 0.05 * answered, `features of ${withInexactFeatures} of ${answered} are not exact`);
});
