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

  /** Stores a Parquet file under its SHA-256. */
  async putFile(bytes: Uint8Array): Promise<{ readonly name: string; readonly sha256: string }> {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const name = `${sha256}.parquet`;
    if ((await this.#objects.info(name)) === null) await this.#objects.putBlob({ name }, bytes);
    return { name, sha256 };
  }

  /**
   * Stores the manifest, as a protobuf message, at `<content hash>/manifest`. One with the same bytes is left as it is, with its time; a newer
   * version of the app that makes the same dataset replaces it.
   */
  async putManifest(manifest: DatasetManifest): Promise<void> {
    const name = `${manifest.contentHash}/manifest`;
    const bytes = toBinary(DatasetManifestSchema, manifest);
    const stored = await this.#objects.getBlob(name);
    if (stored !== null && Buffer.compare(stored, bytes) === 0) return;
    await this.#objects.putBlob({ name, metadata: { app: manifest.app } }, bytes);
  }
}
