import { type BusConfig, readBusConfig } from "@millrace/bus";
import { type DatabaseConfig, readDatabaseConfig } from "@millrace/db";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";

export interface IngestionConfig {
  readonly bus: BusConfig;
  readonly database: DatabaseConfig;
  /** Where EventLogService listens. */
  readonly grpcAddress: string;
  /** Most messages that are stored in one transaction. */
  readonly maxBatch: number;
  /** What a process that died had in hand comes again after so long. */
  readonly ackWaitMs: number;
  /** Days of event time that the event log keeps; undefined: for ever. */
  readonly retentionDays: number | undefined;
}

/**
 * Reads the service's settings: the bus's, the database's, `MILLRACE_GRPC_ADDRESS`, `INGESTION_MAX_BATCH` (2,000), `INGESTION_ACK_WAIT_MS` (10,000),
 * `INGESTION_RETENTION_DAYS` (0: for ever).
 */
export function readIngestionConfig(reader: ConfigReader): IngestionConfig {
  return {
    bus: readBusConfig(reader),
    database: readDatabaseConfig(reader, "ingestion"),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50051"),
    maxBatch: reader.integer("INGESTION_MAX_BATCH", 2_000, { min: 1, max: 20_000 }),
    ackWaitMs: reader.integer("INGESTION_ACK_WAIT_MS", 10_000, { min: 500, max: 600_000 }),
    retentionDays: reader.integer("INGESTION_RETENTION_DAYS", 0, { min: 0, max: 36_500 }) || undefined,
  };
}
