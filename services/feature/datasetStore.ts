import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { Bus, ObjectStore } from "@millrace/bus";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";

/**
 * The object store `datasets`. Files are named by what they hold, `<SHA-256>.parquet`, so that building the same dataset again stores
 * nothing twice, and what a build leaves behind when it is broken off is used by the next.
 */
export class DatasetStore {
  readonly #objects: ObjectStore;

  private constructor(objects: ObjectStore) {
    this.#objects = objects;
  }

  static async open(bus: Bus): Promise<DatasetStore> {
    return new DatasetStore(await bus.objects("datasets"));
  }

  /** Stores a Parquet file and returns its name. */
  async putFile(bytes: Uint8Array): Promise<string> {
    const name = `${createHash("sha256").update(bytes).digest("hex")}.parquet`;
    if ((await this.#objects.info(name)) === null) await this.#objects.putBlob({ name }, bytes);
    return name;
  }

  /** Stores the manifest, as a protobuf message, at `<content hash>/manifest`. */
  async putManifest(manifest: DatasetManifest): Promise<void> {
    await this.#objects.putBlob(
      { name: `${manifest.contentHash}/manifest` },
      toBinary(DatasetManifestSchema, manifest),
    );
  }
}
