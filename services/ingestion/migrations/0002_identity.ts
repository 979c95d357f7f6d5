import { type Kysely, sql } from "kysely";

/**
 * An event's id is unique within its app, whatever its time: before, the same id at another time was another event. The log's partitions
 * cannot say so, each knows only its day. A message may hold several events, told apart by their place.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE event_identity (
      app text NOT NULL,
      id text NOT NULL,
      -- Of occurred_at: it goes when the log's partition of that day goes.
      day date NOT NULL,
      -- Where it is in the log.
      known_at timestamptz NOT NULL,
      log_sequence bigint NOT NULL,
      PRIMARY KEY (app, id)
    )`.execute(database);
  // Rows come in the order of days, nearly: a few pages of index are enough to find those of old days.
  await sql`CREATE INDEX event_identity_day ON event_identity USING brin (day) WITH (pages_per_range = 32)`.execute(
    database,
  );
  // What the old rule let in twice stays in the log; its identity is that of the first.
  await sql`
    INSERT INTO event_identity (app, id, day, known_at, log_sequence)
    SELECT DISTINCT ON (app, id) app, id, (occurred_at AT TIME ZONE 'UTC')::date, known_at, log_sequence
    FROM event_log ORDER BY app, id, log_sequence`.execute(database);
  await sql`ALTER TABLE event_log DROP CONSTRAINT event_log_app_id_occurred_at_key`.execute(database);
  await sql`ALTER TABLE event_log ADD COLUMN place integer NOT NULL DEFAULT 0`.execute(database);
  await sql`
    ALTER TABLE not_accepted
      ADD COLUMN place integer NOT NULL DEFAULT 0,
      DROP CONSTRAINT not_accepted_pkey,
      ADD PRIMARY KEY (stream_sequence, place)`.execute(database);
}
