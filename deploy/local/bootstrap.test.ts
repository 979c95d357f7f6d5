import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const run = (...commandArguments: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "bootstrap.mjs"), ...commandArguments], { encoding: "utf8" });

test("an unknown command names those that there are", () => {
  const { status, stderr } = run("fly");
  assert.equal(status, 2);
  assert.match(stderr, /There is no command "fly"[^]*start .*[^]*up .*[^]*test /);
});

test("a command runs on Node.js 24 with what is installed already, and its exit status comes back", () => {
  const help = run("millrace", "--help");
  assert.equal(help.status, 0);
  assert.match(help.stdout, /apply +check an app file/);
  assert.doesNotMatch(help.stderr, /installing Node/);
  const unknown = run("millrace", "fly");
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /millrace: There is no command "fly"; there are: apply, apps, status/);
});

test("up explains itself, and refuses options that make no sense in one sentence", () => {
  const help = run("up", "--help");
  assert.equal(help.status, 0);
  assert.match(help.stdout, /--gateway-port <port>/);
  const wrong = run("up", "--gateway-port", "99999");
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /--gateway-port must be a port number from 1 to 65535, not "99999"/);
  assert.match(run("up", "--colour").stderr, /millrace: Unknown option '--colour'; see --help/);
});
