import type { Clock } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import type { BreakerState } from "./breaker.ts";
import type { Deployments } from "./deployments.ts";
import { observeGauge, type PredictCounts } from "./metrics.ts";
import type { Recorder } from "./recorder.ts";
import type { ThreadLoad } from "./threadLoad.ts";
import type { WorkerPool } from "./workers/workerPool.ts";

export interface Observed {
  readonly apps: AppDirectory;
  readonly deployments: Deployments;
  readonly recorder: Recorder;
  readonly pool: WorkerPool;
  readonly counts: PredictCounts;
  readonly load: ThreadLoad;
  readonly clock: Clock;
}

const BREAKER_VALUE: Readonly<Record<BreakerState, number>> = { closed: 0, "half-open": 1, open: 2 };

/** What an SRE sees of the gateway besides its calls. */
export function observeGateway({ apps, deployments, recorder, pool, counts, load, clock }: Observed): void {
  counts.observe();
  observeGauge("millrace.features.cache.entities", "Entities in the near cache", (observe) => {
    for (const { app, features } of apps.entries) observe(features.entities, { "millrace.app": app.name });
  });
  observeGauge("millrace.features.cache.bytes", "Estimated memory of the near cache", (observe) => {
    for (const { app, features } of apps.entries) observe(features.bytes, { "millrace.app": app.name });
  });
  observeGauge("millrace.features.cache.lookups", "Lookups so far, by whether the entity was known", (observe) => {
    for (const { app, features } of apps.entries) {
      observe(features.hits, { "millrace.app": app.name, result: "hit" });
      observe(features.misses, { "millrace.app": app.name, result: "miss" });
    }
  });
  observeGauge("millrace.model.breaker", "Circuit breaker: 0 closed, 1 half-open, 2 open", (observe) => {
    for (const [, { champion, previous, canary, shadow }] of deployments.all) {
      for (const served of [champion, previous, canary?.model, shadow?.model]) {
        if (served === undefined) continue;
        const state = served.breaker.state(clock.now());
        observe(BREAKER_VALUE[state], { "millrace.model.version": served.version });
      }
    }
  });
  observeGauge("millrace.predict.unconfirmed", "Answered predictions that the bus has not confirmed", (observe) =>
    observe(recorder.unconfirmed),
  );
  observeGauge("millrace.inference.workers.abandoned", "Stuck workers that have not ended", (observe) =>
    observe(pool.abandoned),
  );
  observeGauge("millrace.inference.workers.replaced", "Workers replaced so far after a crash or a hang", (observe) =>
    observe(pool.replaced),
  );
  observeGauge("millrace.gateway.questions", "Questions in hand", (observe) => observe(load.inHand));
  observeGauge("millrace.gateway.question.time", "Milliseconds of the thread that a question takes", (observe) =>
    observe(load.msPerQuestion),
  );
}
