import { randomBytes } from "node:crypto";
import { type ProvisionOptions, provisionBus } from "@millrace/bus";
import { MillraceError } from "@millrace/runtime";
import type { NatsConnection } from "@nats-io/transport-node";
import { Client } from "pg";

/** The services that keep something in PostgreSQL; each owns the schema of its name, and sees no other. */
export const DATABASE_SERVICES = ["ingestion", "training", "feedback", "monitor"] as const;

export type DatabaseService = (typeof DATABASE_SERVICES)[number];

export type DatabasePasswords = Readonly<Record<DatabaseService, string>>;

/** Each service's connection URL. */
export type DatabaseUrls = Readonly<Record<DatabaseService, string>>;

export const randomDatabasePasswords = (): DatabasePasswords =>
  Object.fromEntries(
    DATABASE_SERVICES.map((service) => [service, randomBytes(24).toString("hex")]),
  ) as unknown as DatabasePasswords;

/** Creates the streams and buckets, and updates the streams that exist. */
export async function provisionNats(connection: NatsConnection, options: ProvisionOptions = {}): Promise<void> {
  await provisionBus(connection, options);
}

/**
 * Gives each service a schema and a role `<database>_<service>` that owns it and may do nothing else. Safe to repeat: passwords
 * are brought up to date, data is kept.
 *
 * @throws `failed_precondition` when the role in the URL may not create roles.
 */
export async function provisionDatabase(adminUrl: string, passwords: DatabasePasswords): Promise<DatabaseUrls> {
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const database = (await client.query<{ name: string }>("SELECT current_database() AS name")).rows[0]?.name ?? "";
    const urls: Partial<Record<DatabaseService, string>> = {};
    const quoted = client.escapeIdentifier(database);
    await client.query(`REVOKE ALL ON DATABASE ${quoted} FROM PUBLIC`);
    await client.query("REVOKE ALL ON SCHEMA public FROM PUBLIC");
    for (const service of DATABASE_SERVICES) {
      const role = `${database}_${service}`;
      await provisionService(client, { database: quoted, service, role, password: passwords[service] });
      const url = new URL(adminUrl);
      url.username = role;
      url.password = passwords[service];
      urls[service] = url.toString();
    }
    return urls as DatabaseUrls;
  } catch (cause) {
    if ((cause as { code?: string }).code !== "42501") throw cause;
    throw new MillraceError(
      "failed_precondition",
      `The role in DATABASE_URL may not create roles and schemas (${(cause as Error).message}); use a role with CREATEROLE that owns the database`,
      { cause },
    );
  } finally {
    await client.end();
  }
}

async function provisionService(
  client: Client,
  { database, service, role, password }: { database: string; service: string; role: string; password: string },
): Promise<void> {
  const name = client.escapeIdentifier(role);
  const schema = client.escapeIdentifier(service);
  const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role]);
  const action = rowCount === 0 ? "CREATE" : "ALTER";
  await client.query(
    `${action} ROLE ${name} LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD ${client.escapeLiteral(password)}`,
  );
  await client.query(`GRANT CONNECT ON DATABASE ${database} TO ${name}`);
  await client.query(`ALTER ROLE ${name} IN DATABASE ${database} SET search_path = ${schema}`);
  // A role that is no superuser must belong to the new owner while it hands the schema over.
  await client.query(`GRANT ${name} TO CURRENT_USER`);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema} AUTHORIZATION ${name}`);
}
