// Runs a Millrace command on a machine that has only Node.js 20 and npm: brings Node.js 24 and pnpm into .millrace/toolchain,
// installs the workspace, then runs the command with them. What is there already is not fetched again.
// Plain JavaScript, because it runs before there is anything that understands more.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const STATE = join(ROOT, ".millrace");

/** @type {Record<string, { what: string, node?: string[], pnpm?: string[], folder?: string }>} */
const COMMANDS = {
  start: { what: "the whole system with the flight-delays demonstration", node: ["deploy/local/start.ts"] },
  up: { what: "the whole system, for your own apps", node: ["deploy/local/up.ts"] },
  millrace: { what: "the command line: apply an app, look at what runs", node: ["deploy/local/millrace.ts"] },
  test: { what: "every check and test", node: ["test/run.ts"] },
  check: { what: "types, lint and format only", node: ["test/run.ts", "--check"] },
  bench: { what: "the benchmarks", node: ["test/bench/run.ts"] },
  generate: { what: "code from the contracts in proto/", pnpm: ["exec", "buf", "generate"], folder: "proto" },
  format: { what: "format every file", pnpm: ["exec", "biome", "check", "--write"] },
};

class Stop extends Error {}

async function main() {
  const [name = "", ...rest] = process.argv.slice(2);
  const command = COMMANDS[name];
  if (command === undefined) {
    const list = Object.entries(COMMANDS).map(([key, { what }]) => `  ${key.padEnd(9)} ${what}`);
    const problem = name === "" ? "" : `There is no command "${name}".\n`;
    console.error(`${problem}Usage: node deploy/local/bootstrap.mjs <command> [options]\n${list.join("\n")}`);
    return 2;
  }
  const toolchain = installToolchain();
  const environment = toolEnvironment(toolchain);
  installWorkspace(toolchain, environment);
  const [program, programArguments] =
    command.node === undefined ? [toolchain.pnpm, command.pnpm ?? []] : [toolchain.node, command.node];
  // Files are found from the repository's root; paths that the user gives are relative to where the user is.
  environment.MILLRACE_CWD = process.env.INIT_CWD ?? process.cwd();
  return run(program, [...programArguments, ...rest], join(ROOT, command.folder ?? "."), environment);
}

/**
 * Node.js 24 and pnpm, in a folder named after the lockfile that pins them. They are plain binaries: it does not matter
 * whether install scripts may run.
 */
function installToolchain() {
  const source = join(ROOT, "deploy", "local", "toolchain");
  const lockfile = readFileSync(join(source, "package-lock.json"));
  const folder = join(STATE, "toolchain", createHash("sha256").update(lockfile).digest("hex").slice(0, 12));
  if (!existsSync(folder)) {
    say("installing Node.js 24 and pnpm into .millrace/toolchain (once, about 250 MB on disk)");
    const unfinished = `${folder}.${process.pid}`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    for (const file of ["package.json", "package-lock.json"]) cpSync(join(source, file), join(unfinished, file));
    try {
      npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=optional"], unfinished);
      try {
        renameSync(unfinished, folder);
      } catch (error) {
        // Another start has finished the same installation first.
        if (!existsSync(folder)) throw error;
      }
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  }
  const modules = join(folder, "node_modules");
  const platform = `${process.platform}-${process.arch}`;
  return {
    node: existing(join(modules, `node-${platform}`, "bin", "node")) ?? runningNode(platform),
    pnpm: existing(join(modules, "@pnpm", `exe.${platform}`, "pnpm")) ?? pnpmOnPath(platform),
  };
}

function runningNode(platform) {
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  throw new Stop(
    `Node.js 24 does not come from npm for ${platform}, and this is ${process.version}; install Node.js 24 or newer and start again`,
  );
}

function pnpmOnPath(platform) {
  const found = (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "pnpm"))
    .find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new Stop(
    `pnpm does not come from npm for ${platform}; install pnpm 12 (https://pnpm.io/installation) and start again`,
  );
}

/** Installs the workspace's packages when what they are installed from has changed. */
function installWorkspace(toolchain, environment) {
  const stampFile = join(STATE, "installed");
  const stamp = workspaceHash();
  if (existsSync(join(ROOT, "node_modules")) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp)
    return;
  say("installing the packages of the workspace (pnpm install)");
  const result = spawnSync(
    toolchain.pnpm,
    ["install", "--frozen-lockfile", "--config.confirmModulesPurge=false", "--reporter=append-only"],
    { cwd: ROOT, env: environment, stdio: ["ignore", "inherit", "inherit"] },
  );
  if (result.status !== 0) {
    const why = result.error === undefined ? `status ${result.status}` : result.error.message;
    throw new Stop(`"pnpm install --frozen-lockfile" failed (${why}); its own message is above`);
  }
  writeFileSync(stampFile, stamp);
}

function workspaceHash() {
  const hash = createHash("sha256").update(`${process.platform}-${process.arch}`);
  for (const file of ["pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests("", 3)]) {
    hash.update(`${file}\0`).update(readFileSync(join(ROOT, file)));
  }
  return hash.digest("hex");
}

function manifests(folder, depth) {
  const found = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true }).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name);
    if (entry.isFile() && entry.name === "package.json") found.push(path);
    else if (entry.isDirectory() && depth > 0 && entry.name !== "node_modules" && !entry.name.startsWith("."))
      found.push(...manifests(path, depth - 1));
  }
  return found;
}

function npm(npmArguments, folder) {
  const { npm_execpath: script } = process.env;
  const [program, first] =
    script !== undefined && /npm-cli\.c?js$/.test(script) ? [process.execPath, [script]] : ["npm", []];
  const result = spawnSync(program, [...first, ...npmArguments], {
    cwd: folder,
    env: { ...process.env, npm_config_workspaces: "", npm_config_ignore_scripts: "true" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.error !== undefined)
    throw new Stop(`npm could not be run (${result.error.message}); install npm and start again`);
  if (result.status !== 0)
    throw new Stop(`"npm ${npmArguments.join(" ")}" failed with status ${result.status}; its own message is above`);
}

/**
 * The tools first on the PATH, and without the settings that npm hands down, which pnpm would take for its own. Every Node.js process below
 * keeps what it compiled, types stripped, by content hash: a service then loads in half the time (0.5 s instead of 1 s).
 */
function toolEnvironment({ node, pnpm }) {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_/i.test(key)));
  environment.PATH = [dirname(node), dirname(pnpm), process.env.PATH ?? ""].join(delimiter);
  environment.NODE_COMPILE_CACHE ??= join(STATE, "compile-cache");
  return environment;
}

/** Runs the command until it ends; signals are handed on. Should this process die, the command sees its channel close. */
function run(program, programArguments, folder, environment) {
  return new Promise((resolve) => {
    const isNode = programArguments[0]?.endsWith(".ts") === true;
    const child = spawn(program, programArguments, {
      cwd: folder,
      env: environment,
      stdio: ["inherit", "inherit", "inherit", ...(isNode ? ["ipc"] : [])],
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
    if (process.env.npm_lifecycle_event !== undefined) whenOrphaned(() => child.kill("SIGTERM"));
    child.on("error", (error) => {
      console.error(`millrace: ${program} could not be run: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (status, signal) => resolve(status ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** npm hands a SIGTERM on to the shell between us and it, and that one dies without a word: so look whether it is there. */
function whenOrphaned(stop) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, 250);
}

const existing = (file) => (existsSync(file) ? file : undefined);

function say(line) {
  console.error(`millrace: ${line}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  const known = error instanceof Stop || error.code !== undefined;
  console.error(`millrace: ${known ? error.message : error.stack}`);
  process.exitCode = 1;
}
process.exit();
