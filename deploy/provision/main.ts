/**
 * Provisions servers that exist, then ends: streams, buckets, schemas, roles. Safe to repeat. For docker-compose and clusters.
 *
 * Settings: NATS_URL, NATS_USER, NATS_PASSWORD (an administrator); NATS_REPLICAS (1); DATABASE_URL (a role that may create
 * roles); `<SERVICE>_DATABASE_PASSWORD` for ingestion, training, feedback and monitor.
 */
import { connectBus, readBusConfig } from "@millrace/bus";
import { createLogger, describeError, MillraceError, readConfig } from "@millrace/runtime";
import { DATABASE_SERVICES, type DatabasePasswords, provisionDatabase, provisionNats } from "./provision.ts";

const logger = createLogger("provision");
try {
  const config = readConfig(process.env, (reader) => ({
    bus: readBusConfig(reader),
    replicas: reader.integer("NATS_REPLICAS", 1, { min: 1, max: 5 }),
    databaseUrl: reader.string("DATABASE_URL"),
    passwords: Object.fromEntries(
      DATABASE_SERVICES.map((service) => [service, reader.string(`${service.toUpperCase()}_DATABASE_PASSWORD`)]),
    ) as unknown as DatabasePasswords,
  }));
  await using bus = await connectBus(config.bus, "provision", logger);
  await provisionNats(bus.connection, { replicas: config.replicas });
  logger.info("streams and buckets are there");
  await provisionDatabase(config.databaseUrl, config.passwords);
  logger.info("schemas and roles are there");
} catch (error) {
  logger.fatal(error instanceof MillraceError ? {} : { err: error }, describeError(error));
  process.exitCode = 1;
}
