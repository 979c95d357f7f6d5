import { type BusConfig, readBusConfig } from "@millrace/bus";
import { type DatabaseConfig, readDatabaseConfig } from "@millrace/db";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";

export interface Config {
  readonly bus: BusConfig;
  readonly database: DatabaseConfig;
  readonly grpcAddress: string;
}

/** Reads the monitor's settings. */
export function readMonitorConfig(reader: ConfigReader): Config {
  return {
    bus: readBusConfig(reader),
    database: readDatabaseConfig(reader, "monitor"),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50056"),
  };
}
