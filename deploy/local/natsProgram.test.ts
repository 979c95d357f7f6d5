import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryFolder } from "@millrace/test-harness";
import { natsProgram } from "./natsProgram.ts";

const isRoot = process.getuid?.() === 0;

function program(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, name), 0o755);
}

test("nats-server is taken from the PATH", async () => {
  await using folder = temporaryFolder();
  program(folder.path, "nats-server", "exit 0");
  assert.equal(natsProgram({ path: `/nowhere:${folder.path}` }), folder.join("nats-server"));
});

test("without nats-server and without a package manager, the message says where to get it", async () => {
  await using folder = temporaryFolder();
  assert.throws(() => natsProgram({ path: folder.path }), {
    code: "failed_precondition",
    message: /nats-server is not on the PATH; install it \(https:.*NATS_URL/,
  });
});

test("who may not install gets the one command to run", async () => {
  await using folder = temporaryFolder();
  program(folder.path, "apt-get", "exit 0");
  assert.throws(() => natsProgram({ path: folder.path, install: false }), {
    message: /run: sudo apt-get install -y nats-server/,
  });
});

test("root gets it installed by apt, and is told", { skip: isRoot ? false : "needs root" }, async () => {
  await using folder = temporaryFolder();
  const target = folder.join("nats-server");
  program(
    folder.path,
    "apt-get",
    `[ "$1" = install ] && printf '#!/bin/sh\\n' > ${target} && /bin/chmod 755 ${target}\nexit 0`,
  );
  const lines: string[] = [];
  assert.equal(natsProgram({ path: folder.path, say: (line) => lines.push(line) }), target);
  assert.match(lines.join("\n"), /nats-server is missing; installing it: .*apt-get update[^]*apt-get install -y/);
});

test("an installation that fails is one sentence with the cause", { skip: isRoot ? false : "needs root" }, async () => {
  await using folder = temporaryFolder();
  program(folder.path, "apt-get", "echo 'E: no network' >&2; exit 100");
  assert.throws(() => natsProgram({ path: folder.path }), {
    code: "failed_precondition",
    message: /apt-get update -q" failed \(E: no network\); install it, or set NATS_URL/,
  });
});
