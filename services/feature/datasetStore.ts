import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type Bus, decode, type ObjectStore } from "@millrace/bus";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";

/** A dataset that is stored. */
export interface StoredDataset {
  readonly manifest: DatasetManifest;
  readonly storedAtMs: number;
}

/** Where a dataset lies, without what is in it. */
export interface DatasetEntry {
  readonly contentHash: string;
  /** Undefined for one that was stored before this was noted beside it. */
  readonly app: string | undefined;
  readonly storedAtMs: number;
}

const MANIFEST_NAME = /^([0-9a-f]{64})\/manifest$/;
const MANY_TO_NAME = 5;

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
    const sha256 = sha256Of(bytes);
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

  /** Every dataset, newest first. */
  async list(): Promise<DatasetEntry[]> {
    const entries: DatasetEntry[] = [];
    for (const { name, deleted, mtime, metadata } of await this.#objects.list()) {
      const contentHash = MANIFEST_NAME.exec(name)?.[1];
      if (contentHash === undefined || deleted) continue;
      entries.push({ contentHash, app: metadata?.["app"], storedAtMs: Date.parse(mtime) });
    }
    return entries.sort(byAge);
  }

  /**
   * The one dataset whose content hash is, or begins with, `name`.
   *
   * @throws `not_found` when there is none, `invalid_argument` when there are several or it is no hash at all
   */
  async find(name: string): Promise<StoredDataset> {
    const wanted = name.toLowerCase();
    if (!/^[0-9a-f]{1,64}$/.test(wanted)) {
      throw refused(
        `${JSON.stringify(name)} is not the content hash of a dataset, nor the beginning of one; ${HOW_TO_LIST}`,
      );
    }
    const fitting = (await this.list()).filter(({ contentHash }) => contentHash.startsWith(wanted));
    const [only] = fitting;
    if (only === undefined) throw new MillraceError("not_found", `There is no dataset ${name}; ${HOW_TO_LIST}`);
    if (fitting.length > 1) {
      const some = fitting.slice(0, MANY_TO_NAME).map(({ contentHash }) => contentHash.slice(0, wanted.length + 6));
      throw refused(`${fitting.length} datasets begin with ${name} (${some.join(", ")}): give more of the hash`);
    }
    return this.read(only);
  }

  /** @throws `not_found` when it has been deleted meanwhile */
  async read({ contentHash, storedAtMs }: DatasetEntry): Promise<StoredDataset> {
    const bytes = await this.#objects.getBlob(`${contentHash}/manifest`);
    if (bytes === null) throw new MillraceError("not_found", `The dataset ${contentHash} is not stored any more`);
    return { manifest: decode(DatasetManifestSchema, bytes), storedAtMs };
  }

  /**
   * A Parquet file of a dataset.
   *
   * @throws `data_loss` when it is missing, or is not what its name says
   */
  async readFile(name: string): Promise<Uint8Array> {
    const bytes = await this.#objects.getBlob(name);
    if (bytes === null) {
      throw new MillraceError(
        "data_loss",
        `The dataset's file ${name} is missing from the object store; build it again`,
      );
    }
    if (`${sha256Of(bytes)}.parquet` !== name) {
      throw new MillraceError("data_loss", `The dataset's file ${name} does not hold what its name says`);
    }
    return bytes;
  }
}

/** Newest first; of the same time in order of their hashes. */
export const byAge = (left: DatasetEntry, right: DatasetEntry): number =>
  right.storedAtMs - left.storedAtMs || (left.contentHash < right.contentHash ? -1 : 1);

const HOW_TO_LIST = "list them with: npm run millrace -- dataset list";

const refused = (description: string): MillraceError =>
  new MillraceError("invalid_argument", description, {
    violations: [{ field: "dataset", reason: "not_one_dataset", description }],
  });

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
