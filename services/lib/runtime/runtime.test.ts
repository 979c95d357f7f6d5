import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { HealthServer, type MillraceError, readConfig } from "./mod.ts";

test("every wrong setting is named at once", () => {
  const read = (): unknown =>
    readConfig({ PORT: "many", SHARE: "2" }, (reader) => ({
      url: reader.string("NATS_URL"),
      port: reader.integer("PORT", 1),
      share: reader.number("SHARE", 0.5, { min: 0, max: 1 }),
    }));
  assert.throws(read, (error: MillraceError) => {
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ["NATS_URL", "PORT", "SHARE"],
    );
    assert.match(error.message, /SHARE must be a number from 0 to 1, not "2"/);
    return true;
  });
});

test("a secret may come from a file", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-"));
  try {
    writeFileSync(join(folder, "secret"), "s3cret\n");
    const read = readConfig({ NATS_PASSWORD_FILE: join(folder, "secret") }, (reader) => reader.string("NATS_PASSWORD"));
    assert.equal(read, "s3cret");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("readiness is refused until it is declared, and a port in use is named", async () => {
  await using health = await HealthServer.listen("127.0.0.1", 0);
  const status = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${health.port}${path}`)).status;
  assert.equal(await status("/livez"), 200);
  assert.equal(await status("/readyz"), 503);
  health.ready = true;
  assert.equal(await status("/readyz"), 200);
  assert.equal(await status("/etc/passwd"), 404);
  await assert.rejects(HealthServer.listen("127.0.0.1", health.port), {
    message: new RegExp(`127.0.0.1:${health.port} is in use by another process`),
  });
});
