import { type BusConfig, readBusConfig } from "@millrace/bus";
import { type DatabaseConfig, readDatabaseConfig } from "@millrace/db";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";

export interface Config {
  readonly bus: BusConfig;
  readonly database: DatabaseConfig;
  readonly grpcAddress: string;
  /** A training of which nothing was heard for this long (wall clock) no longer keeps another from starting. */
  readonly jobTimeoutMs: number;
}

/** Reads feedback's settings. */
export function readFeedbackConfig(reader: ConfigReader): Config {
  return {
    bus: readBusConfig(reader),
    database: readDatabaseConfig(reader, "feedback"),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50055"),
    jobTimeoutMs: reader.integer("TRAINING_TIMEOUT_MS", 3_600_000, { min: 1_000 }),
  };
}
