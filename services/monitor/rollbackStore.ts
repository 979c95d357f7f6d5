import { fromBinary } from "@bufbuild/protobuf";
import type { Database } from "@millrace/db";
import type { OutboxEntry } from "@millrace/outbox";
import { type Alert, AlertSchema } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { saveAlerts } from "./store.ts";

/** Which alert about a roll-back an app has, and up to where MODELS was taken in. */
export interface RollbackState {
  /** Places in MODELS of the newest of each; 0: none yet. */
  readonly rolledBack: number;
  readonly promoted: number;
  /** The newest alert; undefined when there was none yet. */
  readonly alert: Alert | undefined;
}

/** What a model event changes. */
export interface RollbackStep {
  readonly rolledBack: number;
  readonly promoted: number;
  /** Opened or resolved. */
  readonly alert: Alert | undefined;
}

interface Row {
  readonly rolled_back: number;
  readonly promoted: number;
  readonly alert_id: string | null;
}

/** The alerts about roll-backs: each step is one transaction that holds the app's row. */
export class RollbackStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Stores what `take` makes of the state, and returns the messages to publish. */
  apply(
    app: string,
    take: (state: RollbackState) => RollbackStep | undefined,
    entriesOf: (alert: Alert) => Promise<{ alert: Alert; entry: OutboxEntry }>,
  ): Promise<OutboxEntry[]> {
    return this.#database.transaction(async (client) => {
      await client.query("INSERT INTO rollback (app) VALUES ($1) ON CONFLICT DO NOTHING", [app]);
      const { rows } = await client.query<Row>(
        "SELECT rolled_back::float8 AS rolled_back, promoted::float8 AS promoted, alert_id FROM rollback WHERE app = $1 FOR UPDATE",
        [app],
      );
      const { rolled_back: rolledBack, promoted, alert_id: id } = rows[0] as Row;
      const known = await client.query<{ body: Buffer }>("SELECT body FROM alert WHERE id = $1", [id]);
      const [alert] = known.rows.map(({ body }) => fromBinary(AlertSchema, body));
      const step = take({ rolledBack, promoted, alert });
      if (step === undefined) return [];
      await client.query("UPDATE rollback SET rolled_back = $2, promoted = $3, alert_id = $4 WHERE app = $1", [
        app,
        step.rolledBack,
        step.promoted,
        step.alert?.id ?? id,
      ]);
      if (step.alert === undefined) return [];
      const told = await entriesOf(step.alert);
      await saveAlerts(client, { alerts: [told.alert], outbox: [told.entry] });
      return [told.entry];
    });
  }
}
