import { type Kysely, sql } from "kysely";

/** What MULTICLASS and REGRESSION answer: of predictions that are BINARY it takes no room. */
export async function keepAnswers(database: Kysely<never>): Promise<void> {
  await sql`ALTER TABLE prediction ADD COLUMN answer bytea`.execute(database);
}
