import { OUTBOX_TABLE } from "@millrace/outbox";
import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";
import { keepAnswers } from "./answers.ts";
import { keepHeldOut } from "./holdOut.ts";
import { keepAllLabels, watchLabels } from "./labels.ts";

import { findPredictions } from "./reports.ts";
import { askPeople } from "./reviews.ts";

/** Every migration of the schema `feedback`, by name, in order. */
export const migrations: Record<string, Migration> = {
  "0001_feedback": { up: createTables },
  "0002_labels": { up: keepAllLabels },
  "0003_label_windows": { up: watchLabels },
  "0004_reports": { up: findPredictions },
  "0005_reviews": { up: askPeople },
  "0006_hold_out": { up: keepHeldOut },
  "0007_answers": { up: keepAnswers },
};

/** Times are event time in milliseconds since the epoch: what the statements compute with, and cheap to send in arrays. */
async function createTables(database: Kysely<never>): Promise<void> {
  // One row for each prediction, with its truth once that is known. Its key finds it by what a label names, so one index serves
  // both the join and idempotency. Room in each page lets a label be filled in without touching the index.
  await sql`CREATE TABLE prediction (
    app text NOT NULL, join_key text NOT NULL, id text NOT NULL,
    predicted_at bigint NOT NULL, probability float8 NOT NULL, decision text NOT NULL, model_version text NOT NULL,
    made_by smallint NOT NULL, features bytea NOT NULL, traceparent text NOT NULL,
    revision int NOT NULL DEFAULT 0, label float8, previous_label float8, label_event_id text, label_occurred_at bigint, label_sequence bigint,
    known_at bigint, label_traceparent text,
    PRIMARY KEY (app, join_key, id)) WITH (fillfactor = 75)`.execute(database);
  // The newest label of each key, kept for predictions that come after it, until no prediction can claim it any more.
  await sql`CREATE TABLE label (
    app text NOT NULL, join_key text NOT NULL, event_id text NOT NULL, value float8 NOT NULL,
    occurred_at bigint NOT NULL, log_sequence bigint NOT NULL, known_at bigint NOT NULL, traceparent text NOT NULL,
    PRIMARY KEY (app, join_key))`.execute(database);
  await sql.raw(OUTBOX_TABLE).execute(database);
  await sql`CREATE TABLE app_progress (
    app text PRIMARY KEY, watermark bigint NOT NULL, labels bigint NOT NULL,
    first_label_at bigint, asked boolean NOT NULL)`.execute(database);
  await sql`CREATE TABLE retraining (
    app text PRIMARY KEY, champion text NOT NULL DEFAULT '', champion_as_of bigint,
    champion_sequence bigint NOT NULL DEFAULT 0,
    job_id text, job_as_of bigint, job_requested_at bigint, job_ended boolean NOT NULL DEFAULT true,
    labels_at_job bigint NOT NULL DEFAULT 0, last_decision text NOT NULL DEFAULT '')`.execute(database);
  await sql`CREATE TABLE open_alert (
    app text NOT NULL, monitor text NOT NULL, alert_id text NOT NULL, model_version text NOT NULL, title text NOT NULL,
    opened_at bigint NOT NULL, changed_at bigint NOT NULL, resolved boolean NOT NULL,
    PRIMARY KEY (app, monitor))`.execute(database);
  await sql`CREATE TABLE decision (
    app text NOT NULL, number bigserial NOT NULL, decided_at bigint NOT NULL, retrain boolean NOT NULL,
    trigger text NOT NULL, reason text NOT NULL, job_id text NOT NULL,
    PRIMARY KEY (app, number))`.execute(database);
}
