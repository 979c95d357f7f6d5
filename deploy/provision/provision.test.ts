import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { connectDatabase, migrate } from "@millrace/db";
import { silentLogger } from "@millrace/runtime";
import { startNats, startPostgres } from "@millrace/test-harness";
import { sql } from "kysely";
import { DATABASE_SERVICES, provisionDatabase, randomDatabasePasswords } from "./mod.ts";

test("each service can migrate its own schema with its own role", async () => {
  await using postgres = await startPostgres();
  for (const service of DATABASE_SERVICES) {
    await using database = await connectDatabase({ url: postgres.url(service), schema: service }, silentLogger);
    await migrate(database, {
      "0001_things": { up: async (db) => void (await sql`CREATE TABLE things (id bigint PRIMARY KEY)`.execute(db)) },
    });
    const tables = await database.query<{ schema: string }>({
      text: "SELECT schemaname AS schema FROM pg_tables WHERE tablename = 'things'",
    });
    assert.ok(tables.some(({ schema }) => schema === service));
  }
});

test("provisioning again keeps the data and brings passwords up to date", async () => {
  await using postgres = await startPostgres();
  await using before = await connectDatabase({ url: postgres.url("monitor"), schema: "monitor" }, silentLogger);
  await before.query({ text: "CREATE TABLE kept AS SELECT 7 AS seven" });
  const urls = await provisionDatabase(postgres.adminUrl, randomDatabasePasswords());
  assert.notEqual(urls.monitor, postgres.url("monitor"));
  await using after = await connectDatabase({ url: urls.monitor, schema: "monitor" }, silentLogger);
  assert.deepEqual(await after.query({ text: "SELECT seven FROM kept" }), [{ seven: 7 }]);
});

test("a role that may not create roles is told so in one sentence", async () => {
  await using postgres = await startPostgres();
  await assert.rejects(provisionDatabase(postgres.url("monitor"), randomDatabasePasswords()), {
    code: "failed_precondition",
    message: /role in DATABASE_URL may not create roles and schemas.*CREATEROLE/,
  });
});

test("the one-shot program provisions both servers and ends, and names every setting that is missing", async () => {
  await using postgres = await startPostgres();
  await using nats = await startNats({ provision: false });
  const run = (environment: Record<string, string | undefined>) =>
    spawnSync(process.execPath, [join(import.meta.dirname, "main.ts")], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], ...environment },
    });
  const passwords = Object.fromEntries(
    DATABASE_SERVICES.map((service) => [`${service.toUpperCase()}_DATABASE_PASSWORD`, "secret"]),
  );
  const settings = {
    NATS_URL: nats.url,
    NATS_USER: nats.config.user,
    NATS_PASSWORD: nats.config.password,
    DATABASE_URL: postgres.adminUrl,
  };
  for (let times = 0; times < 2; times += 1) {
    const { status, stdout, stderr } = run({ ...settings, ...passwords });
    assert.equal(status, 0, stdout + stderr);
  }
  await using bus = await nats.connect();
  assert.equal((await bus.manager.streams.info("TRAINING")).config.name, "TRAINING");
  const { status, stdout } = run(settings);
  assert.equal(status, 1);
  for (const name of Object.keys(passwords)) assert.match(stdout, new RegExp(`${name} is not set`));
});
