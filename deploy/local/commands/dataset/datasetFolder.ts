import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toJsonString } from "@bufbuild/protobuf";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";

interface OpenFile {
  readonly handle: FileHandle;
  readonly name: string;
  readonly hash: Hash;
  written: bigint;
}

/**
 * A folder that a dataset is written to, file after file. Each file is checked against the manifest's SHA-256 as it is closed; the manifest
 * comes last. Disposed of before it is finished, it takes away what it has written.
 */
export class DatasetFolder implements AsyncDisposable {
  readonly #path: string;
  readonly #isNew: boolean;
  readonly #names: string[] = [];
  #manifest: DatasetManifest | undefined;
  #file: OpenFile | undefined;
  #complete = false;
  bytesWritten = 0n;

  private constructor(path: string, isNew: boolean) {
    this.#path = path;
    this.#isNew = isNew;
  }

  /** @throws `already_exists` for a folder that holds anything, `invalid_argument` when it cannot be made */
  static async open(path: string): Promise<DatasetFolder> {
    try {
      const first = await mkdir(path, { recursive: true });
      const [found] = await readdir(path);
      if (found === undefined) return new DatasetFolder(path, first !== undefined);
    } catch (cause) {
      throw new MillraceError("invalid_argument", `The folder ${path} cannot be written: ${describeError(cause)}`, {
        cause,
      });
    }
    throw new MillraceError("already_exists", `The folder ${path} is not empty; name another one, or empty it`);
  }

  begin(manifest: DatasetManifest): void {
    this.#manifest = manifest;
  }

  /** The next bytes, in the order of the manifest's files; none of it spans two files. */
  async write(chunk: Uint8Array): Promise<void> {
    const expected = this.#expected.files[this.#names.length - (this.#file === undefined ? 0 : 1)];
    if (expected === undefined) throw broken("more bytes came than the manifest's files have");
    this.#file ??= await this.#create();
    await this.#file.handle.writeFile(chunk);
    this.#file.hash.update(chunk);
    this.#file.written += BigInt(chunk.length);
    this.bytesWritten += BigInt(chunk.length);
    if (this.#file.written < expected.bytes) return;
    await this.#file.handle.close();
    const { hash, name } = this.#file;
    this.#file = undefined;
    if (hash.digest("hex") !== expected.sha256) throw broken(`${name} is not ${expected.name}`);
  }

  /** Writes the manifest and the list of hashes. @throws `data_loss` when a file has not come, or not all of it */
  async finish(): Promise<DatasetManifest> {
    const manifest = this.#expected;
    if (this.#file !== undefined || this.#names.length !== manifest.files.length) {
      throw broken(`${this.#names.length} of ${manifest.files.length} files came`);
    }
    const sums = manifest.files.map(({ sha256 }, index) => `${sha256}  ${this.#names[index]}\n`).join("");
    await this.#writeText("SHA256SUMS", sums);
    await this.#writeText("manifest.json", `${toJsonString(DatasetManifestSchema, manifest, { prettySpaces: 2 })}\n`);
    this.#complete = true;
    return manifest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.handle.close();
    if (this.#complete) return;
    for (const name of this.#names) await rm(join(this.#path, name), { force: true });
    if (this.#isNew) await rm(this.#path, { recursive: true });
  }

  get #expected(): DatasetManifest {
    if (this.#manifest === undefined) throw broken("no manifest came");
    return this.#manifest;
  }

  async #create(): Promise<OpenFile> {
    const name = `part-${String(this.#names.length).padStart(5, "0")}.parquet`;
    const handle = await open(join(this.#path, name), "wx");
    this.#names.push(name);
    return { handle, name, hash: createHash("sha256"), written: 0n };
  }

  async #writeText(name: string, text: string): Promise<void> {
    this.#names.push(name);
    await writeFile(join(this.#path, name), text, { flag: "wx" });
  }
}

const broken = (what: string): MillraceError =>
  new MillraceError("data_loss", `The dataset did not arrive as it is stored (${what}); try again`);
