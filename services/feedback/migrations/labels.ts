import { type Kysely, sql } from "kysely";

/**
 * Labels as facts: all of a key, each once by its event's id, so that what counts does not depend on the order in which they came. Until
 * then the table had the newest of each key.
 */
export async function keepAllLabels(database: Kysely<never>): Promise<void> {
  await sql`ALTER TABLE label ADD COLUMN source smallint NOT NULL DEFAULT 0, DROP CONSTRAINT label_pkey,
    ADD PRIMARY KEY (app, join_key, event_id)`.execute(database);
  await sql`ALTER TABLE prediction ADD COLUMN label_source smallint`.execute(database);
  await sql`UPDATE prediction SET label_source = 0 WHERE revision > 0`.execute(database);
  // Further ahead than the app's clock believes: they wait until it does.
  await sql`CREATE TABLE label_ahead (
    app text NOT NULL, occurred_at bigint NOT NULL, event_id text NOT NULL, join_key text NOT NULL, source smallint NOT NULL,
    value float8 NOT NULL, log_sequence bigint NOT NULL, known_at bigint NOT NULL, traceparent text NOT NULL,
    PRIMARY KEY (app, occurred_at, event_id))`.execute(database);
  await sql`CREATE TABLE contradiction (
    app text NOT NULL, join_key text NOT NULL, event_id text NOT NULL, other_event_id text NOT NULL,
    value float8 NOT NULL, other_value float8 NOT NULL, source smallint NOT NULL, other_source smallint NOT NULL,
    occurred_at bigint NOT NULL, other_occurred_at bigint NOT NULL, known_at bigint NOT NULL,
    PRIMARY KEY (app, join_key, event_id, other_event_id))`.execute(database);
  await sql`CREATE INDEX contradiction_known_at ON contradiction (app, known_at)`.execute(database);
  // `moved_at` is of the wall clock: when the app's own clock last moved.
  await sql`ALTER TABLE app_progress ALTER COLUMN watermark DROP NOT NULL, ADD COLUMN ahead int NOT NULL DEFAULT 0,
    ADD COLUMN moved_at bigint, ADD COLUMN predicted_until bigint`.execute(database);
}

/** What is known of the truth, by model version and window of the predictions' event time. */
export async function watchLabels(database: Kysely<never>): Promise<void> {
  await sql`CREATE TABLE label_window (
    app text NOT NULL, model_version text NOT NULL, window_from bigint NOT NULL, window_to bigint NOT NULL,
    predictions bigint NOT NULL, labelled bigint NOT NULL, revision int NOT NULL DEFAULT 1, published_revision int NOT NULL DEFAULT 0,
    PRIMARY KEY (app, model_version, window_from, window_to))`.execute(database);
  await sql`CREATE INDEX label_window_unpublished ON label_window (app, window_to) WHERE revision > published_revision`.execute(
    database,
  );
  // A histogram in logarithmic bins (delaySketch.ts).
  await sql`CREATE TABLE label_delay (
    app text NOT NULL, model_version text NOT NULL, window_from bigint NOT NULL, window_to bigint NOT NULL, bin smallint NOT NULL,
    labels bigint NOT NULL, PRIMARY KEY (app, model_version, window_from, window_to, bin))`.execute(database);
}
