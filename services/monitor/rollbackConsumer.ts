import { decode, done, type JsMsg, type Outcome } from "@millrace/bus";
import type { Outbox } from "@millrace/outbox";
import { AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { type ModelEvent, ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { alertEntry } from "./alertMessage.ts";
import type { PeopleStore } from "./peopleStore.ts";
import { openedBy, resolvedBy } from "./rollbackAlerts.ts";
import type { RollbackState, RollbackStep, RollbackStore } from "./rollbackStore.ts";

export interface RollbackParts {
  readonly store: RollbackStore;
  readonly people: PeopleStore;
  readonly outbox: Outbox;
}

/** Handles messages of MODELS: an alert opens with a roll-back that nobody asked for, and resolves with the next promotion. */
export function handleRollbacks({
  store,
  people,
  outbox,
}: RollbackParts): (messages: readonly JsMsg[]) => Promise<Outcome> {
  return async (messages) => {
    for (const message of messages) {
      const event = decode(ModelEventSchema, message.data);
      if (event.what !== "promoted" && event.what !== "rolled_back") continue;
      const entries = await store.apply(
        event.app,
        (state) => stepOf(state, event, message.seq),
        async (alert) => {
          const [told = alert] = await people.annotated([alert]);
          return { alert: told, entry: alertEntry(told) };
        },
      );
      await outbox.publish(entries);
    }
    return done();
  };
}

/**
 * What an event changes; undefined: nothing. Messages may come again and, after a crash, later than newer ones: their places in the stream
 * tell what was first.
 */
export function stepOf(state: RollbackState, event: ModelEvent, sequence: number): RollbackStep | undefined {
  const { rolledBack, promoted, alert } = state;
  if (event.what === "promoted") {
    if (sequence <= promoted) return undefined;
    const over = alert !== undefined && alert.state !== AlertState.RESOLVED && rolledBack < sequence;
    return { rolledBack, promoted: sequence, alert: over ? resolvedBy(alert, event) : undefined };
  }
  const opened = openedBy(event, sequence);
  if (opened === undefined || sequence <= rolledBack) return undefined;
  // Where another champion has been promoted since, there is nothing left to tell.
  return { rolledBack: sequence, promoted, alert: promoted > sequence ? undefined : opened };
}
