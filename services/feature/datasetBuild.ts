import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventReader, type ReadEvent } from "@millrace/features";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { BuildDatasetRequest, DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { type DatasetFile, DatasetFileSchema } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import {
  type ReadEventsRequestSchema,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import type { ByteStream } from "@millrace/rpc";
import { Dataset, definitionOf } from "./dataset.ts";
import type { DatasetStore } from "./datasetStore.ts";
import { ParquetPart } from "./parquetPart.ts";

export interface DatasetBuildOptions {
  readonly app: App;
  readonly appVersion: number;
  readonly request: BuildDatasetRequest;
  /** EventLogService.ReadEvents. */
  readonly readEvents: ByteStream<typeof ReadEventsRequestSchema>;
  readonly store: DatasetStore;
  readonly onProgress: (eventsRead: number, rowsWritten: number) => void;
}

/** Rows in a file: some tens of MiB in memory while it is made. */
const FILE_ROWS = 262_144;

/** Streams the event log into a stored dataset. @throws as `Dataset`, and what the event log's service answers. */
export async function buildDataset(options: DatasetBuildOptions): Promise<DatasetManifest> {
  const { app, request, readEvents, onProgress } = options;
  const dataset = new Dataset(definitionOf(app, request));
  const files = new DatasetFiles(dataset.set.names, dataset.textFields, options.store);
  const { types, knownFromMs, knownBeforeMs } = dataset.source;
  let eventsRead = 0;
  const pages = readEvents.call({
    app: app.app,
    types,
    ...(knownFromMs === undefined ? {} : { knownFrom: timestampFromMs(knownFromMs) }),
    ...(knownBeforeMs === undefined ? {} : { knownBefore: timestampFromMs(knownBeforeMs) }),
  });
  const reader = new EventReader();
  const take = (event: ReadEvent): void => {
    dataset.add(event);
    eventsRead += 1;
  };
  for await (const page of pages) {
    reader.read(page, ReadEventsResponseSchema.field.events.number, take);
    await files.add(dataset.takeRows());
    onProgress(eventsRead, files.rows);
  }
  dataset.finish();
  await files.add(dataset.takeRows());
  const manifest = dataset.manifest({ appVersion: options.appVersion, files: await files.finish(), eventsRead });
  await options.store.putManifest(manifest);
  onProgress(eventsRead, files.rows);
  return manifest;
}

/** Puts rows into files of a bounded size. */
class DatasetFiles {
  readonly #featureNames: readonly string[];
  readonly #textFields: readonly string[];
  readonly #store: DatasetStore;
  readonly #files: DatasetFile[] = [];
  #part: ParquetPart | undefined;
  rows = 0;

  constructor(featureNames: readonly string[], textFields: readonly string[], store: DatasetStore) {
    this.#featureNames = featureNames;
    this.#textFields = textFields;
    this.#store = store;
  }

  async add(rows: readonly Parameters<ParquetPart["add"]>[0][]): Promise<void> {
    for (const row of rows) {
      this.#part ??= new ParquetPart(this.#featureNames, this.#textFields);
      const full = this.#part.add(row);
      if (full !== undefined) await full;
      this.rows += 1;
      if (this.#part.rows >= FILE_ROWS) await this.#close(this.#part);
    }
  }

  /** The files, in row order; one without rows when there were none, so that a reader finds the columns. */
  async finish(): Promise<readonly DatasetFile[]> {
    if (this.#part !== undefined || this.#files.length === 0) {
      await this.#close(this.#part ?? new ParquetPart(this.#featureNames, this.#textFields));
    }
    return this.#files;
  }

  async #close(part: ParquetPart): Promise<void> {
    this.#part = undefined;
    const bytes = await part.finish();
    const { name, sha256 } = await this.#store.putFile(bytes);
    const { rows, rowGroups } = part;
    this.#files.push(
      create(DatasetFileSchema, { name, sha256, bytes: BigInt(bytes.length), rows: BigInt(rows), rowGroups }),
    );
  }
}
