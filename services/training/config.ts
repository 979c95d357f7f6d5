import { type BusConfig, readBusConfig } from "@millrace/bus";
import { type DatabaseConfig, readDatabaseConfig } from "@millrace/db";
import { readRpcAddress } from "@millrace/rpc";
import type { ConfigReader } from "@millrace/runtime";

export interface Config {
  readonly bus: BusConfig;
  readonly database: DatabaseConfig;
  readonly grpcAddress: string;
  /** The feature service's gRPC address. */
  readonly datasetAddress: string;
  /** Most labelled rows of one training; the newest are taken. */
  readonly maxRows: number;
  /** About so much memory a training may take, by the size of its dataset. */
  readonly maxMemoryBytes: number;
  /** Longest model file that is taken. */
  readonly maxUploadBytes: number;
}

/** Reads the service's settings. */
export function readTrainingConfig(reader: ConfigReader): Config {
  return {
    bus: readBusConfig(reader),
    database: readDatabaseConfig(reader, "training"),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50053"),
    datasetAddress: reader.string("DATASET_ADDRESS"),
    maxRows: reader.integer("TRAINING_MAX_ROWS", 400_000, { min: 100 }),
    maxMemoryBytes: reader.integer("TRAINING_MAX_MEMORY_BYTES", 2 ** 31, { min: 1 }),
    maxUploadBytes: reader.integer("TRAINING_MAX_UPLOAD_BYTES", 256 << 20, { min: 1 }),
  };
}
