import { create } from "@bufbuild/protobuf";
import {
  type ExportDatasetResponse,
  ExportDatasetResponseSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import type { DatasetStore } from "./datasetStore.ts";

/** Large enough to be fast, small enough for any reader's limit. */
const CHUNK_BYTES = 1 << 20;

/** A dataset's manifest, then its files' bytes; one file is in memory at a time. @throws as `DatasetStore.find` and `readFile` */
export async function* exportDataset(store: DatasetStore, name: string): AsyncIterable<ExportDatasetResponse> {
  const { manifest } = await store.find(name);
  yield create(ExportDatasetResponseSchema, { part: { case: "manifest", value: manifest } });
  for (const object of manifest.objects) {
    const bytes = await store.readFile(object);
    for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
      const value = bytes.subarray(from, from + CHUNK_BYTES);
      yield create(ExportDatasetResponseSchema, { part: { case: "chunk", value } });
    }
  }
}
