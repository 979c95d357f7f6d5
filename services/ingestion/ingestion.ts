import { getApp, watchApps } from "@millrace/app";
import { type Bus, connectBus } from "@millrace/bus";
import { connectDatabase, migrate } from "@millrace/db";
import type { AppVersion } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { startRpcServer } from "@millrace/rpc";
import { type Clock, type Logger, MillraceError, systemClock } from "@millrace/runtime";
import { AppDirectory } from "./appDirectory.ts";
import { BatchWriter } from "./batchWriter.ts";
import type { IngestionConfig } from "./config.ts";
import { consumeEvents } from "./consumer.ts";
import { eventLogService } from "./grpc.ts";
import { MAX_GIVEN_BYTES, schemaInferenceService } from "./inferenceService.ts";
import { MIGRATIONS } from "./migrations/all.ts";
import { Outbox } from "./outbox.ts";
import { Partitions } from "./partitions.ts";
import { QualityPublisher } from "./qualityPublisher.ts";
import { dataQualityService } from "./qualityService.ts";
import { indexRejected } from "./rejectedIndex.ts";
import { rejectedEventService } from "./rejectedService.ts";
import { Retention } from "./retention.ts";
import { Turns } from "./turns.ts";

export interface IngestionSurroundings {
  readonly logger: Logger;
  readonly fail: (error: unknown) => void;
  readonly clock?: Clock;
}

/** Builds the parts in order and starts them; the stack stops them in reverse. Answers where EventLogService listens. */
export async function startIngestion(
  stack: AsyncDisposableStack,
  config: IngestionConfig,
  { logger, fail, clock = systemClock }: IngestionSurroundings,
): Promise<string> {
  const bus = stack.use(await connectBus(config.bus, "ingestion", logger));
  const database = stack.use(await connectDatabase(config.database, logger));
  await migrate(database, MIGRATIONS);

  const apps = new AppDirectory((name) => fetchApp(bus, name));
  stack.use(await watchApps(bus, (version) => apps.adopt(version), { logger, onFailure: fail }));

  const outbox = stack.use(new Outbox(bus, database, logger));
  const recovered = await outbox.recover();
  if (recovered > 0) logger.info({ batches: recovered }, "published what an earlier process had stored");

  stack.use(new QualityPublisher(bus, database, apps, logger));

  const partitions = new Partitions(database);
  const retention = stack.use(await Retention.start({ database, partitions, days: config.retentionDays, logger }));
  const turns = new Turns();
  const parts = { apps, writer: new BatchWriter(database, partitions), outbox, retention, turns, clock };

  const services = [
    eventLogService(database, apps),
    dataQualityService(database, apps),
    rejectedEventService({ ...parts, bus, database }),
    schemaInferenceService(bus),
  ];
  // Given events, and some bytes around each.
  const maxMessageBytes = MAX_GIVEN_BYTES + (2 << 20);
  const server = stack.use(await startRpcServer({ address: config.grpcAddress, services, logger, maxMessageBytes }));

  stack.use(await indexRejected(bus, database, apps, fail));
  stack.use(
    await consumeEvents(bus, parts, { maxBatch: config.maxBatch, ackWaitMs: config.ackWaitMs, onFailure: fail }),
  );
  return server.address;
}

/** Names with characters that a KV key cannot have belong to no app. */
async function fetchApp(bus: Bus, name: string): Promise<AppVersion | undefined> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) return undefined;
  try {
    return await getApp(bus, name);
  } catch (error) {
    if (error instanceof MillraceError && error.code === "not_found") return undefined;
    throw error;
  }
}
