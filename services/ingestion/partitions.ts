import type { Database } from "@millrace/db";

const DAY_SECONDS = 86_400;

/** Taken while a partition is made, so that replicas do not make the same one. */
const LOCK = 7_201_001;

/** The event log's partitions, one for each day of occurred_at, made when the first event of the day comes, and one day ahead. */
export class Partitions {
  readonly #database: Database;
  readonly #known = new Set<number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Makes sure that the days of these times exist. */
  async ensure(occurredAtSeconds: Iterable<number>): Promise<void> {
    const missing = new Set<number>();
    for (const seconds of occurredAtSeconds) {
      const day = Math.floor(seconds / DAY_SECONDS);
      if (this.#known.has(day)) continue;
      missing.add(day);
      missing.add(day + 1);
    }
    for (const day of [...missing].sort((left, right) => left - right)) {
      if (this.#known.has(day)) continue;
      await this.#make(day);
      this.#known.add(day);
    }
  }

  /** Attached rather than created in place: that takes no lock which a reader of the log would be waiting for, or hold up. */
  async #make(day: number): Promise<void> {
    const date = (offset: number) => new Date((day + offset) * DAY_SECONDS * 1_000).toISOString();
    const name = `event_log_${date(0).slice(0, 10).replaceAll("-", "_")}`;
    await this.#database.transaction(async (client) => {
      await client.query("SELECT pg_advisory_xact_lock($1)", [LOCK]);
      const { rows } = await client.query<{ exists: boolean }>("SELECT to_regclass($1) IS NOT NULL AS exists", [name]);
      if (rows[0]?.exists === true) return;
      await client.query(`CREATE TABLE ${name} (LIKE event_log INCLUDING DEFAULTS INCLUDING INDEXES)`);
      await client.query(
        `ALTER TABLE event_log ATTACH PARTITION ${name} FOR VALUES FROM ('${date(0)}') TO ('${date(1)}')`,
      );
    });
  }
}
