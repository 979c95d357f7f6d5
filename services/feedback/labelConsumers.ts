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

/** A consumer for each event type that brings an app's labels; an app whose labels come with other types gets others. */
export class LabelConsumers implements AsyncDisposable {
  readonly #options: LabelConsumersOptions;
  readonly #apps = new Map<string, FollowedApp>();
  /** By durable name, which says the app and whether its labels are reported, with the event type. */
  readonly #running = new Map<string, { readonly type: string; readonly consumer: RunningConsumer }>();

  constructor(options: LabelConsumersOptions) {
    this.#options = options;
  }

  /** Begins to consume an app's labels, or goes by its new version. */
  async follow(app: FollowedApp): Promise<void> {
    this.#apps.set(app.name, app);
    for (const [place, durable] of [`feedback-${app.name}`, `feedback-${app.name}_reported`].entries()) {
      const type = app.label.types[place];
      const known = this.#running.get(durable);
      if (known?.type === type) continue;
      this.#running.delete(durable);
      await known?.consumer[Symbol.asyncDispose]();
      if (type !== undefined) this.#running.set(durable, { type, consumer: await this.#consume(app, durable, type) });
    }
  }

  #consume(app: FollowedApp, durable: string, type: string): Promise<RunningConsumer> {
    const { bus, joiner, onFailure } = this.#options;
    return bus.consume({
      stream: "ACCEPTED",
      durable,
      filter: `accepted.${app.name}.${type}.*`,
      maxBatch: MESSAGES_PER_BATCH,
      lingerMs: LINGER_MS,
      onFailure,
      handle: handleLabels(joiner, () => (this.#apps.get(app.name) ?? app).label),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ consumer }) => consumer[Symbol.asyncDispose]()));
  }
}
