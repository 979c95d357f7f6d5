import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type Acknowledgement,
  AcknowledgementSchema,
  type Alert,
  AlertSchema,
} from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { type Mute, MuteSchema } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { isMuted } from "./mutes.ts";

/** What people said of alerts: kept beside them, for an alert is written anew with each of its states. */
export class PeopleStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async acknowledge(alertId: string, acknowledgement: Acknowledgement): Promise<void> {
    await this.#database.query({
      text: `INSERT INTO acknowledgement (alert_id, body) VALUES ($1, $2)
        ON CONFLICT (alert_id) DO UPDATE SET body = excluded.body`,
      values: [alertId, toBinary(AcknowledgementSchema, acknowledgement)],
    });
  }

  /** By the alert's id. */
  async acknowledgements(alertIds: readonly string[]): Promise<Map<string, Acknowledgement>> {
    const rows = await this.#database.query<{ alert_id: string; body: Buffer }>({
      text: "SELECT alert_id, body FROM acknowledgement WHERE alert_id = ANY($1)",
      values: [alertIds],
    });
    return new Map(rows.map(({ alert_id: id, body }) => [id, fromBinary(AcknowledgementSchema, body)]));
  }

  async addMute(mute: Mute): Promise<void> {
    await this.#database.query({
      text: "INSERT INTO mute (id, app, until_ms, body) VALUES ($1, $2, $3, $4)",
      values: [mute.id, mute.app, mute.until === undefined ? 0 : timestampMs(mute.until), toBinary(MuteSchema, mute)],
    });
  }

  /** Whether there was such a mute. */
  async endMute(id: string): Promise<boolean> {
    const rows = await this.#database.query({ text: "DELETE FROM mute WHERE id = $1 RETURNING id", values: [id] });
    return rows.length > 0;
  }

  /** An app's mutes that last beyond a moment of event time. */
  async mutes(app: string, atMs: number): Promise<Mute[]> {
    const rows = await this.#database.query<{ body: Buffer }>({
      text: "SELECT body FROM mute WHERE app = $1 AND until_ms > $2 ORDER BY until_ms, id",
      values: [app, atMs],
    });
    return rows.map(({ body }) => fromBinary(MuteSchema, body));
  }

  /** Undefined when there is none. */
  async alert(id: string): Promise<Alert | undefined> {
    const rows = await this.#database.query<{ body: Buffer }>({
      text: "SELECT body FROM alert WHERE id = $1",
      values: [id],
    });
    const [row] = rows;
    if (row === undefined) return undefined;
    return (await this.withAcknowledgements([fromBinary(AlertSchema, row.body)]))[0];
  }

  /** With all that people have said of them: who has taken them on, and whether they are muted. */
  async annotated(alerts: readonly Alert[]): Promise<Alert[]> {
    if (alerts.length === 0) return [];
    const apps = [...new Set(alerts.map(({ app }) => app))];
    const mutes = (await Promise.all(apps.map((app) => this.mutes(app, 0)))).flat();
    return (await this.withAcknowledgements(alerts)).map((alert) => ({ ...alert, muted: isMuted(alert, mutes) }));
  }

  async withAcknowledgements(alerts: readonly Alert[]): Promise<Alert[]> {
    const known = await this.acknowledgements(alerts.map(({ id }) => id));
    return alerts.map((alert) => {
      const acknowledgement = known.get(alert.id);
      return acknowledgement === undefined ? alert : { ...alert, acknowledgement };
    });
  }
}
