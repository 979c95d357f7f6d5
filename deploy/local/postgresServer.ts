import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "@millrace/runtime";
import { Client } from "pg";
import { OwnProcess } from "./childProcess.ts";
import { freePort } from "./freePort.ts";
import { type PostgresBinaries, postgresBinaries } from "./postgresBinaries.ts";
import { postgresUser, type SystemUser } from "./systemUser.ts";
import { waitFor } from "./waitFor.ts";

export interface PostgresServerOptions {
  /** Holds the data, and a copy of the binaries where the server's user cannot read the installed ones. */
  readonly folder: string;
  readonly logFile: string;
  readonly port?: number;
  /** For tests: nothing has to survive a power cut. Default: everything does. */
  readonly fast?: boolean;
}

/**
 * The embedded server's settings: a local system of six services on a small machine. Durability is left as it is:
 * `fsync` and `synchronous_commit` stay on, because what was acknowledged must survive.
 */
const SETTINGS: readonly string[] = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=60",
  "shared_buffers=256MB",
  "effective_cache_size=1GB",
  "work_mem=16MB",
  "maintenance_work_mem=128MB",
  "wal_level=minimal",
  "max_wal_senders=0",
  "max_wal_size=4GB",
  "min_wal_size=256MB",
  "checkpoint_timeout=15min",
  "jit=off",
  "timezone=UTC",
  "log_min_messages=warning",
  "log_checkpoints=off",
];

const FAST_SETTINGS: readonly string[] = [
  "fsync=off",
  "full_page_writes=off",
  "synchronous_commit=off",
  "shared_buffers=64MB",
  "max_connections=100",
];

/** The administrator's role, and the database in which every service has its schema. */
export const ADMIN = "millrace";
export const DATABASE = "millrace";

/** A PostgreSQL server of our own, from the binaries that npm brought. Stopped when disposed of; the data stays. */
export class PostgresServer implements AsyncDisposable {
  /** The administrator's connection URL, password included. */
  readonly adminUrl: string;
  readonly process: OwnProcess;

  private constructor(process: OwnProcess, adminUrl: string) {
    this.process = process;
    this.adminUrl = adminUrl;
  }

  /** Starts the server, creating its data when there is none. */
  static async start(options: PostgresServerOptions): Promise<PostgresServer> {
    const user = postgresUser();
    mkdirSync(options.folder, { recursive: true });
    const binaries = postgresBinaries(user, options.folder);
    const data = join(options.folder, "data");
    const password = createData(binaries, user, options);
    const port = options.port ?? (await freePort());
    const settings = [...SETTINGS, ...(options.fast === true ? FAST_SETTINGS : [])];
    const server = await OwnProcess.start({
      name: "PostgreSQL",
      command: binaries.postgres,
      arguments: ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])],
      environment: { LC_ALL: "C", TZ: "UTC" },
      logFile: options.logFile,
      user,
      // Fast shutdown: open connections are closed, data is written. SIGTERM would wait for the connections.
      stopSignal: "SIGINT",
    });
    const url = (database: string): string => `postgres://${ADMIN}:${password}@127.0.0.1:${port}/${database}`;
    try {
      await waitUntilReady(server, url("postgres"));
      await createDatabase(url("postgres"), DATABASE);
      return new PostgresServer(server, url(DATABASE));
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

/** Creates a database unless it is there. */
export async function createDatabase(adminUrl: string, name: string): Promise<void> {
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [name]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

/** Runs `initdb` once. Returns the administrator's password, which lies beside the data, readable by us alone. */
function createData(
  binaries: PostgresBinaries,
  user: SystemUser | undefined,
  { folder, fast }: PostgresServerOptions,
): string {
  const data = join(folder, "data");
  const passwordFile = join(folder, "password");
  if (existsSync(join(data, "PG_VERSION")) && existsSync(passwordFile)) return readFileSync(passwordFile, "utf8");
  const password = randomBytes(24).toString("hex");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) {
    chownSync(passwordFile, user.uid, user.gid);
    chownSync(folder, user.uid, user.gid);
  }
  // An unfinished folder would look like data; so the name comes last.
  const unfinished = join(folder, "data.unfinished");
  rmSync(unfinished, { recursive: true, force: true });
  rmSync(data, { recursive: true, force: true });
  const result = spawnSync(
    binaries.initdb,
    [...initdbArguments(unfinished, passwordFile), ...(fast === true ? ["--no-sync"] : [])],
    { encoding: "utf8", cwd: "/", env: { ...process.env, LC_ALL: "C", TZ: "UTC" }, ...user },
  );
  if (result.status !== 0) {
    const why = (result.stderr || result.error?.message || "").trim().split("\n").slice(-2).join(" ");
    throw new MillraceError("failed_precondition", `PostgreSQL could not create its data in ${data}: ${why}`);
  }
  renameSync(unfinished, data);
  return password;
}

const initdbArguments = (data: string, passwordFile: string): readonly string[] =>
  `--username=${ADMIN} --auth=scram-sha-256 --encoding=UTF8 --locale=C`
    .split(" ")
    .concat(`--pgdata=${data}`, `--pwfile=${passwordFile}`);

async function waitUntilReady(server: OwnProcess, url: string): Promise<void> {
  let ended = false;
  await waitFor(
    async () => {
      if (server.how !== undefined) {
        ended = true;
        return true;
      }
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => undefined);
      try {
        await client.connect();
        return true;
      } finally {
        await client.end().catch(() => undefined);
      }
    },
    // After a kill -9 it first replays its log.
    { deadlineMs: 120_000, everyMs: 25, what: "PostgreSQL to start" },
  );
  if (ended) {
    throw new MillraceError(
      "failed_precondition",
      `PostgreSQL stopped at once (${server.how}); ${server.logFile} says: ${server.lastWords()}`,
    );
  }
}
