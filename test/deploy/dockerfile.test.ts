import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync } from "node:fs";
import { basename } from "node:path";
import { test } from "node:test";
import { freePort } from "@millrace/local";
import { TemporaryFolder } from "@millrace/test-harness";
import { built, environmentOf, ROOT, readFromRoot } from "./composeFile.ts";

const instructions = readFromRoot("deploy/docker/Dockerfile")
  .split("\n")
  .filter((line) => !line.startsWith("#"));

/** What the Dockerfile copies from the repository, and how it installs, for one package. */
function recipe(folder: string): { copies: string[]; install: string[] } {
  const lines = instructions.map((line) => line.replaceAll(`\${PACKAGE}`, folder));
  const copies = lines
    .filter((line) => line.startsWith("COPY ") && !line.includes("--from"))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));
  const install = lines
    .find((line) => line.startsWith("RUN pnpm "))
    ?.replaceAll('"', "")
    .split(" ")
    .slice(2);
  assert.ok(copies.length > 3 && install !== undefined, "the Dockerfile is not read rightly");
  return { copies, install };
}

for (const [name, folder] of built) {
  test(`the image of ${name} has what it needs: it starts, and says that it misses its servers`, async (context) => {
    await using image = new TemporaryFolder();
    const { copies, install } = recipe(folder);
    for (const path of copies) {
      cpSync(`${ROOT}/${path}`, image.join(path), {
        recursive: true,
        // As .dockerignore has it.
        filter: (source) => basename(source) !== "node_modules" && !source.endsWith(".test.ts"),
      });
    }
    // Tests stay on this machine: packages come from pnpm's store, and the lockfile's age is not looked up.
    const offline = ["--offline", "--config.minimum-release-age=0", "--reporter=append-only"];
    const installed = spawnSync("pnpm", [...install, ...offline], { cwd: image.path, encoding: "utf8" });
    if (installed.error !== undefined || /NO_OFFLINE/.test(installed.stdout + installed.stderr)) {
      context.skip("pnpm's store on this machine has not all packages");
      return;
    }
    assert.equal(installed.status, 0, installed.stdout + installed.stderr);

    const nowhere = `127.0.0.1:${await freePort()}`;
    const settings = Object.entries(environmentOf(name)).map(([key, value]) => [
      key,
      value.replace(/(nats|postgres|otel-collector):\d+/, nowhere),
    ]);
    const { PATH } = process.env;
    const entry = instructions.find((line) => line.startsWith("ENTRYPOINT "))?.slice("ENTRYPOINT ".length) ?? "[]";
    const [, ...nodeArguments] = JSON.parse(entry) as string[];
    const started = spawnSync(process.execPath, nodeArguments, {
      cwd: image.join(folder),
      env: {
        PATH,
        ...Object.fromEntries(settings),
        MILLRACE_HTTP_HOST: "127.0.0.1",
        MILLRACE_HTTP_PORT: "0",
        // OpenTelemetry is loaded, but need not wait for a collector that is not there.
        OTEL_TRACES_EXPORTER: "none",
        OTEL_METRICS_EXPORTER: "none",
      },
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(started.status, 1, started.stdout + started.stderr);
    assert.match(started.stdout, /"level":"fatal"/);
    assert.match(started.stdout, /No (NATS server with JetStream|PostgreSQL) .*at [^"]*127\.0\.0\.1/);
  });
}
