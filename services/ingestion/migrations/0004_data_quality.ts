import { type Kysely, sql } from "kysely";

/** Data quality by event type and hour of event time, and what was not added to it yet. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE quality_addition (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      -- An encoded DataQualityAddition: of one stored batch, written in its transaction.
      hours bytea NOT NULL
    )`.execute(database);
  await sql`
    CREATE TABLE quality_hour (
      app text NOT NULL,
      type text NOT NULL,
      hour timestamptz NOT NULL,
      -- Grows with every change; the same revision always has the same content.
      revision bigint NOT NULL,
      published_revision bigint NOT NULL DEFAULT 0,
      published_at timestamptz,
      -- An encoded DataQuality.
      quality bytea NOT NULL,
      PRIMARY KEY (app, type, hour)
    )`.execute(database);
  // Sketches hardly compress.
  await sql`ALTER TABLE quality_addition ALTER COLUMN hours SET STORAGE EXTERNAL`.execute(database);
  await sql`ALTER TABLE quality_hour ALTER COLUMN quality SET STORAGE EXTERNAL`.execute(database);
  await sql`CREATE INDEX quality_hour_unpublished ON quality_hour (app, hour) WHERE published_revision < revision`.execute(
    database,
  );
  await sql`CREATE INDEX quality_hour_time ON quality_hour (hour)`.execute(database);
}
