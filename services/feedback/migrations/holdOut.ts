import { type Kysely, sql } from "kysely";

/** The share that was held out of decisions, for predictions that were. */
export async function keepHeldOut(database: Kysely<never>): Promise<void> {
  await sql`ALTER TABLE prediction ADD COLUMN held_out float8`.execute(database);
}
