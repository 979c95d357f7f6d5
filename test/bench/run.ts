/** Runs a bench, or lists them: `npm run bench`, `npm run bench -- <name> [its arguments]`. */
import { spawn } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const FOLDER = import.meta.dirname;

interface Bench {
  readonly name: string;
  readonly file: string;
  /** The first line of its opening comment. */
  readonly what: string;
}

function benches(): Bench[] {
  return globSync("*.ts", { cwd: FOLDER, exclude: ["run.ts", "*.test.ts"] })
    .sort()
    .map((file) => {
      const opening = /^\/\*\*(?:\n \*)? *(.*)/.exec(readFileSync(join(FOLDER, file), "utf8"));
      return {
        name: basename(file, ".ts"),
        file: join(FOLDER, file),
        what: (opening?.[1] ?? "").replace(/\s*\*\/$/, ""),
      };
    });
}

/** The exit status of a bench, which has the terminal to itself. */
function run({ file }: Bench, benchArguments: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", file, ...benchArguments], {
    stdio: "inherit",
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (status) => resolve(status ?? 1));
  });
}

const [name, ...rest] = process.argv.slice(2);
const all = benches();
const wanted = all.find((bench) => bench.name === name);
if (wanted !== undefined) {
  process.exit(await run(wanted, rest));
}
if (name !== undefined && name !== "--help") console.error(`There is no bench "${name}".\n`);
console.log("npm run bench -- <name>\n");
const width = Math.max(0, ...all.map((bench) => bench.name.length));
for (const bench of all) console.log(`  ${bench.name.padEnd(width)}  ${bench.what}`);
process.exit(name === undefined || name === "--help" ? 0 : 2);
