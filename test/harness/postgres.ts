import { randomBytes } from "node:crypto";
import {
  createDatabase,
  type DatabaseService,
  type DatabaseUrls,
  PostgresServer,
  provisionDatabase,
  randomDatabasePasswords,
} from "@millrace/local";
import { Client } from "pg";
import { TemporaryFolder } from "./temporaryFolder.ts";

/** A PostgreSQL database of the test's own, with each service's schema and role, removed afterwards. */
export class TestPostgres implements AsyncDisposable {
  /** The administrator's connection URL. */
  readonly adminUrl: string;
  readonly #urls: DatabaseUrls;
  readonly #serverUrl: string;

  private constructor(serverUrl: string, adminUrl: string, urls: DatabaseUrls) {
    this.#serverUrl = serverUrl;
    this.adminUrl = adminUrl;
    this.#urls = urls;
  }

  static async start(): Promise<TestPostgres> {
    const serverUrl = process.env["MILLRACE_TEST_POSTGRES"] || (await ownServer());
    const name = `test_${randomBytes(6).toString("hex")}`;
    await createDatabase(serverUrl, name);
    const url = new URL(serverUrl);
    url.pathname = `/${name}`;
    const urls = await provisionDatabase(url.toString(), randomDatabasePasswords());
    return new TestPostgres(serverUrl, url.toString(), urls);
  }

  /** A service's connection URL, for its own role. */
  url(service: DatabaseService): string {
    return this.#urls[service];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = new Client({ connectionString: this.#serverUrl });
    await client.connect();
    try {
      await client.query(`DROP DATABASE ${new URL(this.adminUrl).pathname.slice(1)} WITH (FORCE)`);
      for (const url of Object.values(this.#urls)) await client.query(`DROP ROLE ${new URL(url).username}`);
    } finally {
      await client.end();
    }
  }
}

export const startPostgres = (): Promise<TestPostgres> => TestPostgres.start();

let server: Promise<string> | undefined;

/** One server for this process, begun by the first test that asks, ended with the process. */
function ownServer(): Promise<string> {
  server ??= startTestServer();
  return server;
}

async function startTestServer(): Promise<string> {
  const folder = new TemporaryFolder({ everybodyMayEnter: true });
  const started = await PostgresServer.start({
    folder: folder.join("postgres"),
    logFile: folder.join("postgres.log"),
    fast: true,
  });
  started.process.unref();
  process.once("beforeExit", () => {
    void started[Symbol.asyncDispose]().then(() => folder[Symbol.asyncDispose]());
  });
  return started.adminUrl;
}
