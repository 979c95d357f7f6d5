import type { Outbox } from "@millrace/outbox";
import type { Clock, Logger } from "@millrace/runtime";
import type { FollowedApp } from "./apps.ts";
import {
  type Decision,
  decideByHand,
  decideRetraining,
  type ManualRequest,
  type RetrainingState,
} from "./retrainingPolicy.ts";
import type { Decided, RetrainingStore } from "./retrainingStore.ts";

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
    await this.#decide(app, (state) => decideRetraining(app.retraining, state));
  }

  /** A person asks. */
  askByHand(app: FollowedApp, request: ManualRequest): Promise<Decided> {
    return this.#decide(app, (state) => decideByHand(request, state));
  }

  async #decide(app: FollowedApp, decide: (state: RetrainingState) => Decision): Promise<Decided> {
    const { store, outbox, clock, jobTimeoutMs, logger } = this.#options;
    const nowMs = clock.now();
    const times = { nowMs, expiredBeforeMs: nowMs - jobTimeoutMs, budgetMs: app.retraining?.budget?.perMs ?? 0 };
    const decided = await store.decide(app.name, times, decide);
    if (decided.entry !== undefined) {
      logger.info({ app: app.name, job: decided.jobId }, `asks for training ${decided.jobId}`);
      await outbox.publish([decided.entry]);
    }
    return decided;
  }
}
