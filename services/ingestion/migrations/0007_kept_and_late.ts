import { type Kysely, sql } from "kysely";

/** What was accepted although it came late, or although a noise rule is about it, is counted, too. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE accepted_count ADD COLUMN late bigint NOT NULL DEFAULT 0`.execute(database);
  await sql`
    CREATE TABLE kept_count (
      app text NOT NULL,
      -- The noise rule's name.
      rule text NOT NULL,
      events bigint NOT NULL,
      PRIMARY KEY (app, rule)
    )`.execute(database);
}
