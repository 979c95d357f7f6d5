import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@millrace/runtime";
import { startPostgres } from "@millrace/test-harness";
import { sql } from "kysely";
import { connectDatabase, migrate } from "./mod.ts";

test("a failed transaction leaves nothing behind, and its connection can be used again", async () => {
  await using postgres = await startPostgres();
  await using database = await connectDatabase({ url: postgres.url("monitor"), schema: "monitor" }, silentLogger);
  await database.query({ text: "CREATE TABLE thing (id int)" });
  const failing = database.transaction(async (client) => {
    await client.query("INSERT INTO thing VALUES (1)");
    throw new Error("half way");
  });
  await assert.rejects(failing, /half way/);
  assert.deepEqual(await database.query({ text: "SELECT * FROM thing" }), []);
});

test("migrations apply once, in order, in the service's own schema, and a broken one is named", async () => {
  await using postgres = await startPostgres();
  await using database = await connectDatabase({ url: postgres.url("monitor"), schema: "monitor" }, silentLogger);
  const good = { "0001_thing": { up: async (db: never) => void (await sql`CREATE TABLE thing (id int)`.execute(db)) } };
  await migrate(database, good);
  await migrate(database, good);
  const [row] = await database.query<{ schema: string }>({
    text: "SELECT table_schema AS schema FROM information_schema.tables WHERE table_name = 'thing'",
  });
  assert.equal(row?.schema, "monitor");
  const broken = { ...good, "0002_bad": { up: async (db: never) => void (await sql`CREATE TABEL x ()`.execute(db)) } };
  await assert.rejects(migrate(database, broken), /schema monitor could not be migrated \(0002_bad\)/);
});

test("a role sees its own schema only", async () => {
  await using postgres = await startPostgres();
  await using database = await connectDatabase({ url: postgres.url("monitor"), schema: "monitor" }, silentLogger);
  await assert.rejects(database.query({ text: "CREATE TABLE ingestion.mine (id int)" }), /permission denied/);
});

test("a server that is not there is named without its password", async () => {
  const attempt = connectDatabase({ url: "postgres://role:hunter2@127.0.0.1:1/millrace", schema: "x" }, silentLogger);
  await assert.rejects(attempt, (error: Error & { code: string }) => {
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /127\.0\.0\.1:1/);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
});
