import { type Bus, decode } from "@millrace/bus";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { connectRpc } from "@millrace/rpc";
import type { Subscription } from "@nats-io/transport-node";
import type { Progress } from "./progress.ts";

/** How often ingestion is asked for its counts. */
const COUNT_EVERY_MS = 1_000;

/** Follows what the services make of an app's events, for the display. */
export class News implements Disposable {
  readonly #subscriptions: readonly Subscription[];
  readonly #eventLog: ReturnType<typeof connectRpc<typeof EventLogService>>;
  readonly #timer: NodeJS.Timeout;

  constructor(bus: Bus, eventLogAddress: string, app: string, progress: Progress) {
    this.#subscriptions = [countOutcomes(bus, app, progress), followAlerts(bus, app, progress)];
    this.#eventLog = connectRpc(EventLogService, eventLogAddress);
    this.#timer = setInterval(() => {
      // A count that does not come, while a service restarts for example, is no news.
      void this.#count(app, progress).catch(() => undefined);
    }, COUNT_EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#eventLog[Symbol.dispose]();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  async #count(app: string, progress: Progress): Promise<void> {
    const { accepted, rejected } = await this.#eventLog.countEvents({ app }, { timeoutMs: COUNT_EVERY_MS });
    progress.accepted = total(accepted);
    progress.rejected = total(rejected);
  }
}

const total = (counts: Readonly<Record<string, bigint>>): number =>
  Object.values(counts).reduce((sum, count) => sum + Number(count), 0);

function countOutcomes(bus: Bus, app: string, progress: Progress): Subscription {
  return bus.connection.subscribe(`outcomes.${app}`, {
    callback: (_, { data }) => {
      progress.outcomes += decode(OutcomesSchema, data).outcomes.length;
    },
  });
}

function followAlerts(bus: Bus, app: string, progress: Progress): Subscription {
  const open = new Set<string>();
  return bus.connection.subscribe(`alerts.${app}.>`, {
    callback: (_, { data }) => {
      const { id, state, title, monitor } = decode(AlertSchema, data);
      if (state === AlertState.RESOLVED) open.delete(id);
      else if (!open.has(id)) {
        open.add(id);
        progress.notes.push(`alert (${monitor}): ${title}`);
      }
      progress.openAlerts = open.size;
    },
  });
}
