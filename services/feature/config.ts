import { hostname } from "node:os";
import { type BusConfig, readBusConfig } from "@millrace/bus";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";

export interface Config {
  readonly bus: BusConfig;
  readonly grpcAddress: string;
  /** Ingestion's EventLogService. */
  readonly eventLogAddress: string;
  /** Copies of the buckets that this service makes. */
  readonly replicas: number;
  readonly checkpointIntervalMs: number;
  /** While messages wait, changed entities are written no more often than this. */
  readonly catchUpFlushMs: number;
  /** After so long without a message everything changed is written, be its tile over or not. */
  readonly idleFlushMs: number;
  /** Reads are exact as far as this behind the stream's clock, of event time. */
  readonly lookBackMs: number;
  /** An app's entities are divided among so many consumers; the same number everywhere, for ever. */
  readonly partitions: number;
  /** Names this process among those that share the partitions; the same after a restart. */
  readonly replica: string;
  /** A replica that has not been heard of for so long loses its partitions to the others. */
  readonly leaseMs: number;
}

/** Reads the feature service's settings. */
export function readFeatureConfig(reader: ConfigReader): Config {
  const grpcAddress = readRpcAddress(reader, "127.0.0.1:50052");
  return {
    bus: readBusConfig(reader),
    grpcAddress,
    eventLogAddress: reader.string("EVENT_LOG_ADDRESS", "127.0.0.1:50053"),
    replicas: reader.integer("NATS_REPLICAS", 1, { min: 1, max: 5 }),
    checkpointIntervalMs: reader.integer("CHECKPOINT_INTERVAL_MS", 10_000, { min: 10 }),
    catchUpFlushMs: reader.integer("CATCH_UP_FLUSH_MS", 500, { min: 0 }),
    idleFlushMs: reader.integer("IDLE_FLUSH_MS", 1_000, { min: 10 }),
    lookBackMs: reader.integer("FEATURE_LOOK_BACK_MS", 3_600_000, { min: 0, max: 30 * 86_400_000 }),
    partitions: reader.integer("FEATURE_PARTITIONS", 1, { min: 1, max: 256 }),
    replica: reader.string("FEATURE_REPLICA", defaultReplica(grpcAddress)),
    leaseMs: reader.integer("FEATURE_LEASE_MS", 5_000, { min: 200, max: 600_000 }),
  };
}

/** A process is known by where it listens; one that takes any free port is another one after each start. */
const defaultReplica = (grpcAddress: string): string =>
  `${hostname()}/${grpcAddress}${grpcAddress.endsWith(":0") ? `/${process.pid}` : ""}`;
