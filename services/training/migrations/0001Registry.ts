import { sql } from "kysely";
import type { Migration } from "kysely/migration";

/** Jobs, versions, who serves, what changed, and what is still to be published. */
export const registry: Migration = {
  async up(database) {
    await sql`
      CREATE TABLE jobs (
        id text PRIMARY KEY,
        app text NOT NULL,
        trigger text NOT NULL,
        reason text NOT NULL,
        as_of timestamptz,
        state text NOT NULL CHECK (state IN ('waiting', 'running', 'finished', 'failed')),
        starts integer NOT NULL DEFAULT 0,
        started_at timestamptz,
        finished_at timestamptz,
        outcome text
      )`.execute(database);
    await sql`CREATE INDEX jobs_by_app ON jobs (app, as_of)`.execute(database);
    await sql`
      CREATE TABLE models (
        app text NOT NULL,
        number integer NOT NULL,
        state text NOT NULL CHECK (state IN ('candidate', 'rejected', 'champion', 'retired')),
        job_id text NOT NULL UNIQUE REFERENCES jobs (id),
        artefact text NOT NULL,
        dataset_hash text NOT NULL,
        metrics jsonb NOT NULL,
        champion_metrics jsonb NOT NULL,
        verdict text[] NOT NULL,
        version bytea NOT NULL,
        registered_at timestamptz NOT NULL,
        PRIMARY KEY (app, number)
      )`.execute(database);
    await sql`CREATE UNIQUE INDEX one_champion ON models (app) WHERE state = 'champion'`.execute(database);
    await sql`
      CREATE TABLE deployments (
        app text PRIMARY KEY,
        champion integer NOT NULL,
        previous integer,
        since timestamptz NOT NULL,
        reason text NOT NULL,
        FOREIGN KEY (app, champion) REFERENCES models (app, number),
        FOREIGN KEY (app, previous) REFERENCES models (app, number)
      )`.execute(database);
    await sql`
      CREATE TABLE changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        app text NOT NULL,
        number integer NOT NULL,
        state text NOT NULL,
        who text NOT NULL,
        why text NOT NULL,
        event_time timestamptz NOT NULL,
        changed_at timestamptz NOT NULL
      )`.execute(database);
    await sql`
      CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('deployment', 'event')),
        app text NOT NULL,
        message bytea NOT NULL,
        traceparent text NOT NULL
      )`.execute(database);
  },
};
