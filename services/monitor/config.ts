import { type BusConfig, readBusConfig } from "@millrace/bus";
import { type DatabaseConfig, readDatabaseConfig } from "@millrace/db";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";
import type { Receiver } from "./outputs/deliver.ts";
import { receiversOf } from "./outputs/receivers.ts";

export interface Config {
  readonly bus: BusConfig;
  readonly database: DatabaseConfig;
  readonly grpcAddress: string;
  /** Who is told of alerts by HTTP. */
  readonly receivers?: readonly Receiver[];
}

/** Reads the monitor's settings. */
export function readMonitorConfig(reader: ConfigReader): Config {
  return {
    bus: readBusConfig(reader),
    database: readDatabaseConfig(reader, "monitor"),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50056"),
    receivers: receiversOf({
      webhookUrl: reader.string("ALERT_WEBHOOK_URL", ""),
      webhookSecret: reader.string("ALERT_WEBHOOK_SECRET", ""),
      alertmanagerUrl: reader.string("ALERTMANAGER_URL", ""),
    }),
  };
}
