import { sql } from "kysely";
import type { Migration } from "kysely/migration";

/** Models that were uploaded, each with the job that judges it. */
export const uploads: Migration = {
  async up(database) {
    await sql`
      CREATE TABLE uploads (
        job_id text PRIMARY KEY,
        app text NOT NULL,
        request_hash text NOT NULL,
        artefact text NOT NULL,
        columns text[] NOT NULL,
        origin bytea NOT NULL,
        quantize bytea
      )`.execute(database);
    await sql`CREATE INDEX uploads_by_request ON uploads (app, request_hash)`.execute(database);
  },
};
