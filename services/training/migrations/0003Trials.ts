import { sql } from "kysely";
import type { Migration } from "kysely/migration";

/** Ways to champion with their evidence, jobs that are held by one process at a time, and what trainers outside were asked for. */
export const trials: Migration = {
  async up(database) {
    await sql`ALTER TABLE models DROP CONSTRAINT models_state_check`.execute(database);
    await sql`
      ALTER TABLE models ADD CONSTRAINT models_state_check
        CHECK (state IN ('candidate', 'rejected', 'shadow', 'canary', 'champion', 'retired', 'deleted'))`.execute(
      database,
    );
    await sql`ALTER TABLE changes ADD COLUMN figures jsonb NOT NULL DEFAULT '{}'`.execute(database);
    await sql`CREATE INDEX changes_by_model ON changes (app, number, id)`.execute(database);
    await sql`ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check`.execute(database);
    await sql`
      ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('deployment', 'event', 'deletion'))`.execute(
      database,
    );
    // `stage` queued: it waits for the end of another's trial.
    await sql`
      CREATE TABLE trials (
        app text NOT NULL,
        number integer NOT NULL,
        champion integer NOT NULL,
        stage text NOT NULL CHECK (stage IN ('queued', 'candidate', 'shadow', 'canary')),
        policy bytea NOT NULL,
        since timestamptz NOT NULL,
        looks integer NOT NULL DEFAULT 0,
        waiting boolean NOT NULL DEFAULT false,
        evidence text[] NOT NULL DEFAULT '{}',
        PRIMARY KEY (app, number),
        FOREIGN KEY (app, number) REFERENCES models (app, number),
        FOREIGN KEY (app, champion) REFERENCES models (app, number)
      )`.execute(database);
    await sql`CREATE UNIQUE INDEX one_trial ON trials (app) WHERE stage <> 'queued'`.execute(database);
    await sql`CREATE UNIQUE INDEX one_queued ON trials (app) WHERE stage = 'queued'`.execute(database);
    // What was answered during a trial's stage, and its truth; emptied with each stage.
    await sql`
      CREATE TABLE trial_answers (
        app text NOT NULL,
        id text NOT NULL,
        request_id text,
        version text NOT NULL,
        made_by smallint NOT NULL,
        failed boolean NOT NULL DEFAULT false,
        probability double precision NOT NULL,
        predicted_at timestamptz NOT NULL,
        label double precision,
        PRIMARY KEY (app, id)
      )`.execute(database);
    await sql`CREATE INDEX trial_answers_by_request ON trial_answers (app, request_id)`.execute(database);
    await sql`
      CREATE TABLE external_tasks (
        id text PRIMARY KEY,
        job_id text NOT NULL REFERENCES jobs (id),
        trainer text NOT NULL,
        deadline timestamptz NOT NULL,
        result bytea
      )`.execute(database);
    await sql`ALTER TABLE jobs DROP CONSTRAINT jobs_state_check`.execute(database);
    await sql`
      ALTER TABLE jobs
        ADD CONSTRAINT jobs_state_check CHECK (state IN ('waiting', 'running', 'finished', 'failed', 'cancelled')),
        ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN holder text,
        ADD COLUMN lease_until timestamptz,
        ADD COLUMN stage text,
        ADD COLUMN share double precision,
        ADD COLUMN progress_at timestamptz,
        ADD COLUMN cancelled_by text,
        ADD COLUMN cancelled_why text`.execute(database);
  },
};
