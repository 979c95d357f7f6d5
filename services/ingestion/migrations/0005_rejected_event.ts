import { type Kysely, sql } from "kysely";

/** The index of REJECTED, by which rejected events are found; their bytes stay in the stream. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE rejected_event (
      -- Its sequence in REJECTED.
      id bigint PRIMARY KEY,
      -- Where it came from.
      stream text NOT NULL,
      stream_sequence bigint NOT NULL,
      place integer NOT NULL,
      subject text NOT NULL,
      app text NOT NULL,
      type text NOT NULL,
      -- Empty when it could not be read.
      event_id text NOT NULL,
      occurred_at timestamptz,
      rejected_at timestamptz NOT NULL,
      -- Of the newest try: each once, the one under which it is counted first.
      reasons text[] NOT NULL,
      violations jsonb NOT NULL,
      description text NOT NULL,
      state text NOT NULL DEFAULT 'rejected' CHECK (state IN ('rejected', 'accepted', 'duplicate', 'dropped')),
      replays integer NOT NULL DEFAULT 0
    )`.execute(database);
  // Lists are newest first, and mostly of what is still rejected.
  await sql`CREATE INDEX rejected_event_app ON rejected_event (app, type, id) WHERE state = 'rejected'`.execute(
    database,
  );
  await sql`CREATE INDEX rejected_event_reason ON rejected_event USING gin (reasons) WHERE state = 'rejected'`.execute(
    database,
  );
}
