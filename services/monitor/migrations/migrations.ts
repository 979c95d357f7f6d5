import { OUTBOX_TABLE } from "@millrace/outbox";
import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

/** Every migration of the schema `monitor`, by name, in order. */
export const migrations: Record<string, Migration> = {
  "0001_monitor": { up: createTables },
  "0002_people": { up: addPeople },
  "0003_rollback": { up: addRollback },
};

/** Times are event time in milliseconds since the epoch. */
async function createTables(database: Kysely<never>): Promise<void> {
  // The sums of a window, as float64, little endian: window.ts says which.
  await sql`CREATE TABLE window_sums (
    app text NOT NULL, version text NOT NULL, from_ms bigint NOT NULL, to_ms bigint NOT NULL, sums bytea NOT NULL,
    PRIMARY KEY (app, from_ms, to_ms, version))`.execute(database);
  await sql`CREATE TABLE app_memory (app text PRIMARY KEY, memory jsonb NOT NULL)`.execute(database);
  // Every version that ever served, so that outcomes of an old one still find its reference. A millrace.training.v1.ModelVersion.
  await sql`CREATE TABLE model (version text PRIMARY KEY, body bytea NOT NULL)`.execute(database);
  // Which messages of a stream have been counted: ranges of sequence numbers.
  await sql`CREATE TABLE counted (stream text PRIMARY KEY, ranges jsonb NOT NULL)`.execute(database);
  await sql`CREATE TABLE counted_batch (id text PRIMARY KEY, number bigserial NOT NULL)`.execute(database);
  // The newest state of each alert: a millrace.monitor.v1.Alert.
  await sql`CREATE TABLE alert (id text PRIMARY KEY, app text NOT NULL, changed_at bigint NOT NULL, body bytea NOT NULL)`.execute(
    database,
  );
  await sql.raw(OUTBOX_TABLE).execute(database);
}

/** What people said of alerts. */
async function addPeople(database: Kysely<never>): Promise<void> {
  // A millrace.monitor.v1.Acknowledgement.
  await sql`CREATE TABLE acknowledgement (alert_id text PRIMARY KEY, body bytea NOT NULL)`.execute(database);
  // A millrace.monitor.v1.Mute.
  await sql`CREATE TABLE mute (id text PRIMARY KEY, app text NOT NULL, until_ms bigint NOT NULL, body bytea NOT NULL)`.execute(
    database,
  );
}

/** The newest roll-back and promotion of each app, by their places in MODELS, and the alert about that roll-back. */
async function addRollback(database: Kysely<never>): Promise<void> {
  await sql`CREATE TABLE rollback (
    app text PRIMARY KEY, rolled_back bigint NOT NULL DEFAULT 0, promoted bigint NOT NULL DEFAULT 0, alert_id text)`.execute(
    database,
  );
}
