import { type Kysely, sql } from "kysely";

/** Finds predictions by what applications know of them. */
export async function findPredictions(database: Kysely<never>): Promise<void> {
  await sql`ALTER TABLE prediction ADD COLUMN request_id text NOT NULL DEFAULT ''`.execute(database);
  // Hashes, which can only be looked up: with B-trees, plans of the join that were made on empty tables read a whole one for each row.
  await sql`CREATE INDEX prediction_id ON prediction USING hash (id)`.execute(database);
  await sql`CREATE INDEX prediction_request_id ON prediction USING hash (request_id) WHERE request_id <> id`.execute(
    database,
  );
}
