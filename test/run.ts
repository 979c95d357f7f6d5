/**
 * Every check and test: types, lint, format, contracts, then all tests. `npm test` runs this; `--check` leaves the tests out.
 * More arguments are files or folders: then only their tests run, and no checks.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, globSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, resolve } from "node:path";
import { natsProgram, PostgresServer } from "@millrace/local";
import { TemporaryFolder } from "@millrace/test-harness";

const ROOT = resolve(import.meta.dirname, "..");

interface Step {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly folder?: string;
}

const CHECKS: readonly Step[] = [
  { name: "types (tsc)", command: ["tsc", "--noEmit", "-p", "."] },
  { name: "lint (oxlint)", command: ["oxlint", "--type-aware"] },
  { name: "format (biome)", command: ["biome", "check"] },
  { name: "contracts (buf lint)", command: ["buf", "lint"], folder: "proto" },
];

const TEST_FILES = ["services/**/*.test.ts", "deploy/**/*.test.ts", "test/**/*.test.ts"];

const passed = (name: string, startMs: number): void =>
  console.log(`✔ ${name} (${((Date.now() - startMs) / 1_000).toFixed(1)} s)`);

/** Runs a tool of the workspace; its output is shown only when it fails. */
function check({ name, command: [tool, ...toolArguments], folder = "." }: Step): boolean {
  const startMs = Date.now();
  const program = join(ROOT, "node_modules", ".bin", tool);
  const result = spawnSync(program, toolArguments, { cwd: join(ROOT, folder), encoding: "utf8" });
  if (result.status === 0) {
    passed(name, startMs);
    return true;
  }
  console.log(`✖ ${name}\n${result.stdout}${result.stderr}${result.error?.message ?? ""}`);
  return false;
}

/** A change of the contracts that breaks what main speaks is refused; without a main, there is nothing to compare with. */
async function checkBreaking(): Promise<boolean> {
  const name = "contracts break nobody (buf breaking)";
  const main = ["origin/main", "main"].find(
    (ref) => git("rev-parse", "--verify", "--quiet", `${ref}:proto/buf.yaml`).status === 0,
  );
  if (main === undefined) {
    console.log(`- ${name}: skipped, there is no branch main with contracts to compare with`);
    return true;
  }
  await using folder = new TemporaryFolder();
  const archive = folder.join("main.tar");
  if (git("archive", `--output=${archive}`, main, "proto").status !== 0) return false;
  spawnSync("tar", ["-xf", archive, "-C", folder.path]);
  return check({
    name: `${name}, against ${main}`,
    command: ["buf", "breaking", "--against", folder.join("proto")],
    folder: "proto",
  });
}

const git = (...gitArguments: string[]) => spawnSync("git", gitArguments, { cwd: ROOT, encoding: "utf8" });

function testFiles(only: readonly string[]): string[] {
  const patterns =
    only.length === 0
      ? TEST_FILES
      : only.map((path) => {
          const full = resolve(process.env["MILLRACE_CWD"] ?? ROOT, path);
          const isFolder = existsSync(full) && statSync(full).isDirectory();
          return relative(ROOT, isFolder ? join(full, "**/*.test.ts") : full);
        });
  return globSync(patterns, { cwd: ROOT, exclude: (path) => /(^|\/)node_modules(\/|$)/.test(path) }).sort();
}

/** Runs the tests, with one PostgreSQL server for all; each test file makes a database of its own on it. */
async function runTests(files: readonly string[]): Promise<boolean> {
  // Here and once: several test files that find it missing would get into each other's way.
  natsProgram({ say: console.log });
  await using folder = new TemporaryFolder({ everybodyMayEnter: true });
  await using postgres = await PostgresServer.start({
    folder: folder.join("postgres"),
    logFile: folder.join("postgres.log"),
    fast: true,
  });
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "--test",
      `--test-concurrency=${Math.max(2, availableParallelism())}`,
      "--test-timeout=300000",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      ...files,
    ],
    {
      cwd: ROOT,
      stdio: "inherit",
      env: { ...withoutServers(process.env), MILLRACE_TEST_POSTGRES: postgres.adminUrl },
    },
  );
  const stop = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  return await new Promise<boolean>((done) => {
    child.on("exit", (status) => done(status === 0));
  });
}

/** Tests have servers of their own; the user's must stay out of it. */
function withoutServers(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NATS_URL: _1, DATABASE_URL: _2, OTEL_EXPORTER_OTLP_ENDPOINT: _3, NODE_OPTIONS: _4, ...rest } = environment;
  return rest;
}

const [first, ...rest] = process.argv.slice(2);
const checksOnly = first === "--check";
const only = first === undefined || checksOnly ? rest : [first, ...rest];

let good = true;
if (only.length === 0) {
  for (const step of CHECKS) good = check(step) && good;
  good = (await checkBreaking()) && good;
}
if (!checksOnly) {
  const files = testFiles(only);
  if (files.length === 0) console.log(`✖ no test files in ${only.join(", ")}`);
  const green = files.length > 0 && (await runTests(files));
  if (!good) console.error("\nThe tests are not all: a check before them failed, see the top.");
  good = good && green;
}
process.exit(good ? 0 : 1);
