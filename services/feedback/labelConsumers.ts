import type { Bus, RunningConsumer } from "@millrace/bus";
import type { FollowedApp } from "./apps.ts";
import type { Joiner } from "./joiner.ts";
import { handleLabels } from "./labelConsumer.ts";

export interface LabelConsumersOptions {
  readonly bus: Bus;
  readonly joiner: Joiner;
  readonly onFailure: (error: unknown) => void;
}

/** One message of ACCEPTED holds a batch of events, so a few make a good transaction. */
const MESSAGES_PER_BATCH = 8;
/** Truth is late anyway; a transaction is worth waiting a moment for company. */
const LINGER_MS = 25;

/** One consumer for each app's label events; an app whose label comes with another event type gets another consumer. */
export class LabelConsumers implements AsyncDisposable {
  readonly #options: LabelConsumersOptions;
  readonly #running = new Map<string, { app: FollowedApp; readonly consumer: RunningConsumer }>();

  constructor(options: LabelConsumersOptions) {
    this.#options = options;
  }

  /** Begins to consume an app's labels, or goes by its new version. */
  async follow(app: FollowedApp): Promise<void> {
    const known = this.#running.get(app.name);
    if (known?.app.label.on === app.label.on) {
      known.app = app;
      return;
    }
    await known?.consumer[Symbol.asyncDispose]();
    const { bus, joiner, onFailure } = this.#options;
    const entry = { app };
    const consumer = await bus.consume({
      stream: "ACCEPTED",
      durable: `feedback-${app.name}`,
      filter: `accepted.${app.name}.${app.label.on}.*`,
      maxBatch: MESSAGES_PER_BATCH,
      lingerMs: LINGER_MS,
      onFailure,
      handle: handleLabels(joiner, () => entry.app.label),
    });
    this.#running.set(app.name, Object.assign(entry, { consumer }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ consumer }) => consumer[Symbol.asyncDispose]()));
  }
}
