import type { Database } from "@millrace/db";

const DAY_SECONDS = 86_400;

/** Taken while partitions are made and dropped, so that replicas do not do the same at once. */
const LOCK = 7_201_001;

/** The event log's partitions, one for each day of occurred_at (days since 1970, UTC). */
export class Partitions {
  readonly #database: Database;
  readonly #known = new Set<number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Makes sure that the days of these times exist, and the days after them. */
  async ensure(occurredAtSeconds: Iterable<number>): Promise<void> {
    const missing = new Set<number>();
    for (const seconds of occurredAtSeconds) {
      const day = Math.floor(seconds / DAY_SECONDS);
      if (this.#known.has(day)) continue;
      missing.add(day);
      missing.add(day + 1);
    }
    await this.make(missing);
  }

  /** Makes days that do not exist yet. */
  async make(days: Iterable<number>): Promise<void> {
    for (const day of [...days].sort((left, right) => left - right)) {
      if (this.#known.has(day)) continue;
      await this.#make(day);
      this.#known.add(day);
    }
  }

  /** The days that exist, oldest first. */
  async days(): Promise<number[]> {
    const rows = await this.#database.query<{ name: string }>({
      text: `
        SELECT partition.relname AS name FROM pg_inherits JOIN pg_class AS partition ON partition.oid = inhrelid
        WHERE inhparent = 'event_log'::regclass AND NOT inhdetachpending ORDER BY 1`,
    });
    return rows.map(({ name }) => dayOf(name));
  }

  /**
   * Drops a day with everything in it. Detached first: that waits for those who read it, but holds up nobody. A day that a process died
   * over is dropped by the next call.
   */
  async drop(day: number): Promise<void> {
    this.#known.delete(day);
    const name = nameOf(day);
    await this.#exclusively(async (run) => {
      const [partition] = await run<{ pending: boolean | null }>(
        `SELECT (SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass($1)) AS pending
         WHERE to_regclass($1) IS NOT NULL`,
        [name],
      );
      if (partition === undefined) return;
      if (partition.pending === false) await run(`ALTER TABLE event_log DETACH PARTITION ${name} CONCURRENTLY`);
      if (partition.pending === true) await run(`ALTER TABLE event_log DETACH PARTITION ${name} FINALIZE`);
      await run(`DROP TABLE ${name}`);
    });
  }

  /** Drops what a process that died has detached and not dropped. */
  async dropDetached(): Promise<void> {
    const rows = await this.#database.query<{ name: string }>({
      text: `
        SELECT relname AS name FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid
        WHERE relnamespace = current_schema::regnamespace AND relkind = 'r' AND relname ~ '^event_log_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
          AND (inhparent IS NULL OR inhdetachpending)`,
    });
    for (const { name } of rows) await this.drop(dayOf(name));
  }

  /** Attached rather than created in place: that takes no lock which a reader of the log would be waiting for, or hold up. */
  async #make(day: number): Promise<void> {
    const bound = (offset: number) => new Date((day + offset) * DAY_SECONDS * 1_000).toISOString();
    const name = nameOf(day);
    await this.#database.transaction(async (client) => {
      await client.query("SELECT pg_advisory_xact_lock($1)", [LOCK]);
      const { rows } = await client.query<{ exists: boolean }>("SELECT to_regclass($1) IS NOT NULL AS exists", [name]);
      if (rows[0]?.exists === true) return;
      await client.query(`CREATE TABLE ${name} (LIKE event_log INCLUDING DEFAULTS INCLUDING INDEXES)`);
      await client.query(
        `ALTER TABLE event_log ATTACH PARTITION ${name} FOR VALUES FROM ('${bound(0)}') TO ('${bound(1)}')`,
      );
    });
  }

  /** Runs statements that cannot be in a transaction, on a connection that has the lock. */
  async #exclusively(
    work: (run: <Row>(text: string, values?: readonly unknown[]) => Promise<Row[]>) => Promise<void>,
  ): Promise<void> {
    const client = await this.#database.pool.connect();
    try {
      await client.query("SELECT pg_advisory_lock($1)", [LOCK]);
      try {
        await work(async <Row>(text: string, values: readonly unknown[] = []) => {
          return (await client.query(text, [...values])).rows as Row[];
        });
      } finally {
        await client.query("SELECT pg_advisory_unlock($1)", [LOCK]);
      }
    } finally {
      client.release();
    }
  }
}

const nameOf = (day: number): string =>
  `event_log_${new Date(day * DAY_SECONDS * 1_000).toISOString().slice(0, 10).replaceAll("-", "_")}`;

const dayOf = (name: string): number =>
  Date.parse(`${name.slice("event_log_".length).replaceAll("_", "-")}T00:00:00Z`) / (DAY_SECONDS * 1_000);
