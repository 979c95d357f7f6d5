import { type Kysely, sql } from "kysely";

/** Predictions that people are asked about. Times are event time, but for the lease's and the answer's. */
export async function askPeople(database: Kysely<never>): Promise<void> {
  await sql`CREATE TABLE review (
    app text NOT NULL, prediction_id text NOT NULL, join_key text NOT NULL, reason smallint NOT NULL, priority float8 NOT NULL,
    predicted_at bigint NOT NULL, day bigint NOT NULL, expires_at bigint NOT NULL,
    leased_by text NOT NULL DEFAULT '', leased_until bigint NOT NULL DEFAULT 0,
    answered_by text NOT NULL DEFAULT '', answered_at bigint, value float8, note text NOT NULL DEFAULT '',
    PRIMARY KEY (app, prediction_id))`.execute(database);
  await sql`CREATE INDEX review_open ON review (app, priority DESC, predicted_at) WHERE answered_at IS NULL`.execute(
    database,
  );
  await sql`CREATE INDEX review_day ON review (app, day)`.execute(database);
}
