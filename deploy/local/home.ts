import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { postgresUser } from "./systemUser.ts";

/** The repository's root. */
export const ROOT = resolve(import.meta.dirname, "..", "..");

/** Where the local system keeps its data, logs, passwords and endpoints: `MILLRACE_HOME`, else `.millrace`. */
export const defaultHome = (): string => process.env["MILLRACE_HOME"] || join(ROOT, ".millrace");

/** The files of one local system. */
export class Home {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
    mkdirSync(this.path, { recursive: true });
  }

  get lockFile(): string {
    return join(this.path, "running");
  }

  get endpointsFile(): string {
    return join(this.path, "endpoints.json");
  }

  get credentialsFile(): string {
    return join(this.path, "credentials.json");
  }

  get natsFolder(): string {
    return join(this.path, "nats");
  }

  logFile(name: string): string {
    return join(this.path, "logs", `${name}.log`);
  }

  /** Keeps the logs of the last run in `logs.previous`. */
  rotateLogs(): void {
    const logs = join(this.path, "logs");
    if (!existsSync(logs)) return;
    rmSync(`${logs}.previous`, { recursive: true, force: true });
    renameSync(logs, `${logs}.previous`);
  }

  /**
   * Where PostgreSQL keeps its data: here, unless it runs as a user who cannot enter this folder (root's own, say); then
   * in /var/lib/millrace, under a name made from this folder's.
   */
  postgresFolder(): string {
    const inside = join(this.path, "postgres");
    if (postgresUser() === undefined || everybodyMayEnter(this.path)) return inside;
    const name = createHash("sha256").update(this.path).digest("hex").slice(0, 12);
    const outside = join("/var/lib/millrace", name);
    const marker = join(this.path, "postgres.at");
    // Who removed this folder removed the system; its database must not come back alone.
    if (!existsSync(marker) || readFileSync(marker, "utf8") !== outside) {
      rmSync(outside, { recursive: true, force: true });
      writeFileSync(marker, outside);
    }
    mkdirSync(dirname(outside), { recursive: true, mode: 0o755 });
    return outside;
  }

  /** Removes what was stored: streams, buckets, database. Passwords and logs stay. */
  removeData(): void {
    rmSync(this.natsFolder, { recursive: true, force: true });
    rmSync(join(this.postgresFolder(), "data"), { recursive: true, force: true });
  }
}

function everybodyMayEnter(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
