import { sql } from "kysely";
import type { Migration } from "kysely/migration";

/** A new champion can be on probation: a stage of its trial, of which `champion` is the one before. */
export const probation: Migration = {
  async up(database) {
    await sql`
      ALTER TABLE trials
        DROP CONSTRAINT trials_stage_check,
        ADD CONSTRAINT trials_stage_check CHECK (stage IN ('queued', 'candidate', 'shadow', 'canary', 'probation'))`.execute(
      database,
    );
  },
};
