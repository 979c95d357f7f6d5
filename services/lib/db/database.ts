import { type ConfigReader, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { Kysely, PostgresDialect } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import { Pool, type PoolClient, type QueryConfig, type QueryResultRow } from "pg";

/** How to reach PostgreSQL; the role owns the schema and sees no other. */
export interface DatabaseConfig {
  readonly url: string;
  /** The service's own schema. */
  readonly schema: string;
  readonly maxConnections?: number;
}

/** Reads `DATABASE_URL` and `DATABASE_CONNECTIONS` (4). */
export function readDatabaseConfig(reader: ConfigReader, schema: string): DatabaseConfig {
  return {
    url: reader.string("DATABASE_URL"),
    schema,
    maxConnections: reader.integer("DATABASE_CONNECTIONS", 4, { min: 1, max: 100 }),
  };
}

/** Any error that says the server is away, rather than that the statement is wrong. */
const CONNECTION_ERRORS = /^(08|57P0|53)|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND/;

/** A service's database: a pool whose connections look into the service's own schema only, and kysely over it. */
export class Database<Tables = unknown> implements AsyncDisposable {
  readonly pool: Pool;
  readonly kysely: Kysely<Tables>;
  readonly schema: string;

  private constructor(pool: Pool, schema: string) {
    this.pool = pool;
    this.schema = schema;
    this.kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  }

  /** @throws `unavailable` when the server does not answer, naming the address without its password. */
  static async connect<Tables>(config: DatabaseConfig, logger: Logger): Promise<Database<Tables>> {
    const pool = new Pool({
      connectionString: config.url,
      max: config.maxConnections ?? 4,
      options: `-c search_path=${config.schema}`,
      application_name: config.schema,
      connectionTimeoutMillis: 5_000,
    });
    pool.on("error", (error) => logger.warn({ err: error }, `a database connection broke: ${describeError(error)}`));
    try {
      await pool.query("SELECT 1");
    } catch (cause) {
      await pool.end();
      throw new MillraceError(
        "unavailable",
        `No PostgreSQL at ${withoutPassword(config.url)} (DATABASE_URL): ${describeError(cause)}`,
        {
          cause,
        },
      );
    }
    return new Database<Tables>(pool, config.schema);
  }

  /**
   * Runs `work` in one transaction on one connection; a failure rolls it back.
   *
   * @throws `unavailable` when the server is away: try again later; any other error as it came.
   */
  async transaction<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.pool.connect().catch(asUnavailable);
    let broken: Error | undefined;
    try {
      await client.query("BEGIN");
      const result = await work(client);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((failure: Error) => {
        broken = failure;
      });
      return asUnavailable(error);
    } finally {
      client.release(broken);
    }
  }

  /** One statement outside of a transaction; errors as in `transaction`. */
  async query<Row extends QueryResultRow>(statement: QueryConfig): Promise<Row[]> {
    try {
      return (await this.pool.query<Row>(statement)).rows;
    } catch (error) {
      return asUnavailable(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kysely.destroy();
  }
}

export const connectDatabase = <Tables>(config: DatabaseConfig, logger: Logger): Promise<Database<Tables>> =>
  Database.connect<Tables>(config, logger);

/**
 * Brings the schema up to date; replicas that start together wait for each other.
 *
 * @param migrations by name, applied in alphabetical order: `0001_event_log` …
 */
export async function migrate(
  database: Database<never> | Database,
  migrations: Record<string, Migration>,
): Promise<void> {
  const migrator = new Migrator({
    db: database.kysely as Kysely<unknown>,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    migrationTableSchema: database.schema,
  });
  // migrateToLatest never throws: it returns its error.
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === "Error")?.migrationName;
  throw new MillraceError(
    "failed_precondition",
    `The schema ${database.schema} could not be migrated${failed === undefined ? "" : ` (${failed})`}: ${describeError(error)}`,
    { cause: error },
  );
}

function asUnavailable(error: unknown): never {
  const { code, message } = error as { code?: string; message?: string };
  if (
    CONNECTION_ERRORS.test(code ?? "") ||
    /terminat|timeout|closed/i.test(code === undefined ? (message ?? "") : "")
  ) {
    throw new MillraceError("unavailable", `PostgreSQL is away: ${describeError(error)}`, { cause: error });
  }
  throw error;
}

function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url);
    parsed.password = "";
    return parsed.toString();
  } catch {
    return "an address that is not a URL";
  }
}
