import { type Kysely, sql } from "kysely";

/** The event log with its outbox, its clocks, and the account of everything that is not in it. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE event_log (
      app text NOT NULL,
      id text NOT NULL,
      occurred_at timestamptz NOT NULL,
      known_at timestamptz NOT NULL,
      log_sequence bigint NOT NULL,
      -- Of the message in the stream EVENTS: tells a redelivery from a producer's duplicate.
      stream_sequence bigint NOT NULL,
      type text NOT NULL,
      -- An encoded AcceptedEvent, preceded by its length as a varint: rows put one after the other, with field tags between
      -- them, are the wire format of a message that holds them all.
      accepted bytea NOT NULL,
      UNIQUE (app, id, occurred_at)
    ) PARTITION BY RANGE (occurred_at)`.execute(database);
  await sql`CREATE INDEX event_log_order ON event_log (app, known_at, log_sequence)`.execute(database);
  await sql`
    CREATE TABLE log_head (
      one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
      log_sequence bigint NOT NULL
    )`.execute(database);
  await sql`INSERT INTO log_head (log_sequence) VALUES (0)`.execute(database);
  await sql`
    CREATE TABLE app_clock (
      app text PRIMARY KEY,
      known_at timestamptz NOT NULL
    )`.execute(database);
  await sql`
    CREATE TABLE accepted_count (
      app text NOT NULL,
      type text NOT NULL,
      events bigint NOT NULL,
      PRIMARY KEY (app, type)
    )`.execute(database);
  await sql`
    CREATE TABLE outbox (
      batch_id text PRIMARY KEY,
      app text NOT NULL,
      type text NOT NULL,
      partition integer NOT NULL,
      partitions integer NOT NULL,
      first_sequence bigint NOT NULL,
      last_sequence bigint NOT NULL,
      events integer NOT NULL
    )`.execute(database);
  await sql`
    CREATE TABLE not_accepted (
      stream_sequence bigint PRIMARY KEY,
      app text NOT NULL,
      type text NOT NULL,
      kind text NOT NULL CHECK (kind IN ('rejected', 'duplicate', 'dropped')),
      reason text NOT NULL,
      noted_at timestamptz NOT NULL DEFAULT now()
    )`.execute(database);
}
