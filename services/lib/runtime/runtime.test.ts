import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
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

test("a line that is logged inside of a sampled span carries its ids", () => {
  const program = `
    import { trace } from "@opentelemetry/api";
    import { createLogger } from "./mod.ts";
    trace.getTracer("test").startActiveSpan("work", (span) => {
      createLogger("test").info({ expected: span.spanContext().traceId }, "inside");
      span.end();
    });
    createLogger("test").info("outside");
    process.exit(0);`;
  const output = execFileSync(
    process.execPath,
    ["--import", "./telemetry.ts", "--input-type=module-typescript", "--eval", program],
    {
      cwd: import.meta.dirname,
      encoding: "utf8",
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_TRACES_SAMPLER: "always_on" },
    },
  );
  const [inside, outside] = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.match(String(inside?.["trace_id"]), /^[0-9a-f]{32}$/);
  assert.equal(inside?.["trace_id"], inside?.["expected"]);
  assert.equal(outside?.["trace_id"], undefined);
});
