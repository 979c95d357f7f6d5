import type { Bus } from "@millrace/bus";
import type { Database } from "@millrace/db";
import type { PoolClient } from "pg";

/** A message that was committed with the rows that it tells of, and is still to be published. */
export interface OutboxEntry {
  /** The message's id on the bus. */
  readonly id: string;
  readonly subject: string;
  readonly body: Uint8Array;
}

/** The table that a service's migration has to make in its schema. */
export const OUTBOX_TABLE = `CREATE TABLE outbox (
  id text PRIMARY KEY, subject text NOT NULL, body bytea NOT NULL, position bigserial NOT NULL)`;

/** Puts a message into the outbox, in the transaction of what it tells of. */
export async function addToOutbox(client: PoolClient, entry: OutboxEntry): Promise<OutboxEntry> {
  await client.query({
    name: "add_to_outbox",
    text: "INSERT INTO outbox (id, subject, body) VALUES ($1, $2, $3)",
    values: [entry.id, entry.subject, entry.body],
  });
  return entry;
}

/**
 * Publishes what was committed. An entry leaves the table only once the broker has it, so a crash at any moment means at worst
 * that it is published again, with the same id.
 */
export class Outbox {
  readonly #bus: Bus;
  readonly #database: Database;
  #pending: OutboxEntry[] = [];
  #flushing: Promise<void> = Promise.resolve();

  constructor(bus: Bus, database: Database) {
    this.#bus = bus;
    this.#database = database;
  }

  /** Publishes what an earlier process committed and could not publish. */
  async recover(): Promise<void> {
    const rows = await this.#database.query<OutboxEntry>({
      text: "SELECT id, subject, body FROM outbox ORDER BY position",
    });
    await this.publish(rows);
  }

  /**
   * Publishes entries, after those given before.
   *
   * @throws `unavailable` when the bus does not confirm; the entries are kept, and go out with the next call.
   */
  publish(entries: readonly OutboxEntry[]): Promise<void> {
    this.#pending.push(...entries);
    this.#flushing = this.#flushing.catch(() => undefined).then(() => this.#flush());
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const sent = [...this.#pending];
    await Promise.all(sent.map(({ id, subject, body }) => this.#bus.publishBytes(subject, body, { id })));
    await this.#database.query({
      name: "leave_outbox",
      text: "DELETE FROM outbox WHERE id = ANY($1)",
      values: [sent.map(({ id }) => id)],
    });
    this.#pending = this.#pending.slice(sent.length);
  }
}
