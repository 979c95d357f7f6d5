import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const run = (...names: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "run.ts"), ...names], { encoding: "utf8" });

test("without a name, every bench is listed with what it measures", () => {
  const { status, stdout } = run();
  assert.equal(status, 0);
  const files = globSync("*.ts", { cwd: import.meta.dirname, exclude: ["run.ts", "*.test.ts"] });
  assert.ok(files.length > 0);
  for (const file of files) assert.match(stdout, new RegExp(`^  ${file.slice(0, -3)} +\\S+ \\S+ \\S+`, "m"));
});

test("a name that is none gives the list, and a status that says so", () => {
  const { status, stdout, stderr } = run("trian");
  assert.equal(status, 2);
  assert.match(stderr, /no bench "trian"/);
  assert.match(stdout, /^ {2}train /m);
});
