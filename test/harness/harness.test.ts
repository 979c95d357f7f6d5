import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "pg";
import { startNats, startPostgres } from "./mod.ts";

test("a test's NATS has the streams of production", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  assert.equal((await bus.manager.streams.info("EVENTS")).config.name, "EVENTS");
});

test("a test's database has a schema for each service, which others cannot read", async () => {
  await using postgres = await startPostgres();
  const query = async (url: string, text: string): Promise<unknown[]> => {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };
  await query(postgres.url("ingestion"), "CREATE TABLE secrets (id int)");
  await query(postgres.url("ingestion"), "INSERT INTO secrets VALUES (1)");
  assert.deepEqual(await query(postgres.adminUrl, "SELECT id FROM ingestion.secrets"), [{ id: 1 }]);
  await assert.rejects(query(postgres.url("monitor"), "SELECT id FROM ingestion.secrets"), /permission denied/);
  await assert.rejects(query(postgres.url("monitor"), "CREATE SCHEMA other"), /permission denied/);
});
