import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import { connectBus } from "@millrace/bus";
import { silentLogger } from "@millrace/runtime";
import { temporaryFolder } from "@millrace/test-harness";
import { Client } from "pg";
import { Home, type Platform, readEndpoints, startPlatform } from "./mod.ts";

const start = (home: string): Promise<Platform> => startPlatform({ home, services: [], fast: true });

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

test("what was stored is there after a restart, unless a fresh start is asked for", async () => {
  await using folder = temporaryFolder({ everybodyMayEnter: true });
  const home = folder.join("with spaces");
  const message = { id: "one" };
  {
    await using platform = await start(home);
    await using bus = await connectBus(platform.nats("producer"), "test", silentLogger);
    await bus.publishBytes("events.shop.order", new Uint8Array([7]), message);
    await query(platform.databaseUrl, "CREATE TABLE kept AS SELECT 7 AS seven");
  }
  {
    await using platform = await start(home);
    await using bus = await connectBus(platform.nats("admin"), "test", silentLogger);
    assert.equal((await bus.manager.streams.info("EVENTS")).state.messages, 1);
    assert.deepEqual(await query(platform.databaseUrl, "SELECT seven FROM kept"), [{ seven: 7 }]);
  }
  await using platform = await startPlatform({ home, services: [], fast: true, fresh: true });
  await using bus = await connectBus(platform.nats("admin"), "test", silentLogger);
  assert.equal((await bus.manager.streams.info("EVENTS")).state.messages, 0);
  await assert.rejects(query(platform.databaseUrl, "SELECT seven FROM kept"), /does not exist/);
});

test("below a folder that only root may enter, PostgreSQL runs as another user all the same", {
  skip: process.getuid?.() === 0 ? false : "needs root",
}, async () => {
  await using folder = temporaryFolder();
  const home = new Home(folder.join("home"));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => rm(home.postgresFolder(), { recursive: true }));
  await using platform = await start(home.path);
  assert.match(home.postgresFolder(), /^\/var\/lib\/millrace\//);
  assert.deepEqual(await query(platform.databaseUrl, "SELECT 1 AS one"), [{ one: 1 }]);
});

test("the endpoints are for their owner's eyes, and go when the system goes", async () => {
  await using folder = temporaryFolder({ everybodyMayEnter: true });
  const home = new Home(folder.join("home"));
  {
    await using platform = await start(home.path);
    assert.equal(statSync(home.endpointsFile).mode & 0o777, 0o600);
    assert.equal(statSync(home.credentialsFile).mode & 0o777, 0o600);
    assert.deepEqual(readEndpoints(home), JSON.parse(JSON.stringify(platform.endpoints)));
  }
  assert.equal(existsSync(home.endpointsFile), false);
  assert.throws(() => readEndpoints(home), { code: "failed_precondition", message: /not running.*npm run up/ });
});

test("a second system on the same folder is refused, and does not disturb the first", async () => {
  await using folder = temporaryFolder({ everybodyMayEnter: true });
  await using first = await start(folder.join("home"));
  await assert.rejects(start(folder.join("home")), {
    code: "failed_precondition",
    message: new RegExp(`already running on .*process ${process.pid}`),
  });
  await query(first.databaseUrl, "SELECT 1");
});

test("a port in use is named, and what had been started is stopped again", async () => {
  await using folder = temporaryFolder({ everybodyMayEnter: true });
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const home = folder.join("home");
  for (const ports of [{ nats: port }, { postgres: port }, { gateway: port }]) {
    await assert.rejects(startPlatform({ home, services: [], fast: true, ports }), {
      code: "failed_precondition",
      message: new RegExp(`Port ${port}, wanted for .*in use`),
    });
  }
  server.close();
  await using _ = await startPlatform({ home, services: [], fast: true, ports: { nats: port } });
});
