import type { Outbox } from "@millrace/outbox";
import type { Clock, Logger } from "@millrace/runtime";
import type { FollowedApp } from "./apps.ts";
import { decideRetraining } from "./retrainingPolicy.ts";
import type { RetrainingStore } from "./retrainingStore.ts";

/** As long as nothing else happens, the question is asked again after this much event time. */
const ASK_EVERY_MS = 1_800_000;

export interface RetrainingOptions {
  readonly store: RetrainingStore;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly jobTimeoutMs: number;
  readonly logger: Logger;
}

/** Asks the policy when something has changed or time has passed, and publishes the training that it wants. */
export class Retraining {
  readonly #options: RetrainingOptions;
  readonly #askedAtMs = new Map<string, number>();

  constructor(options: RetrainingOptions) {
    this.#options = options;
  }

  /** The app's event time has moved to `watermarkMs`. */
  async onProgress(app: FollowedApp, watermarkMs: number): Promise<void> {
    if (watermarkMs - (this.#askedAtMs.get(app.name) ?? -Infinity) < ASK_EVERY_MS) return;
    await this.ask(app);
    this.#askedAtMs.set(app.name, watermarkMs);
  }

  /** Something that the policy looks at has changed. */
  async ask(app: FollowedApp): Promise<void> {
    const { store, outbox, clock, jobTimeoutMs, logger } = this.#options;
    const nowMs = clock.now();
    const job = await store.decide(app.name, { nowMs, expiredBeforeMs: nowMs - jobTimeoutMs }, (state) =>
      decideRetraining(app.retraining, state),
    );
    if (job === undefined) return;
    logger.info({ app: app.name, job: job.id }, `asks for training ${job.id}`);
    await outbox.publish([job]);
  }
}
