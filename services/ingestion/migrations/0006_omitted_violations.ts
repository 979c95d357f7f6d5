import { type Kysely, sql } from "kysely";

/** Violations that the headers of REJECTED had no room for are counted; a rejection's time is what is shown of it. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE rejected_event ADD COLUMN omitted_violations integer NOT NULL DEFAULT 0`.execute(database);
  await sql`UPDATE rejected_event SET rejected_at = date_trunc('milliseconds', rejected_at)`.execute(database);
}
