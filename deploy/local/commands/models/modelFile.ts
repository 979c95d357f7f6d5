import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  UploadHeaderSchema,
  UploadModelRequestSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";

/** A file that is going to be uploaded. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

const CHUNK_BYTES = 1 << 20;

/** Reads a file's length and hash. @throws `invalid_argument` when it cannot be read or is empty */
export async function openModelFile(path: string): Promise<ModelFile> {
  const hash = createHash("sha256");
  try {
    const { size } = await stat(path);
    if (size === 0) throw new MillraceError("invalid_argument", `The file ${path} is empty; export the model again`);
    for await (const chunk of chunksOf(path)) hash.update(chunk);
    return { path, bytes: size, sha256: hash.digest("hex") };
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause;
    throw new MillraceError("invalid_argument", `The file ${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}

/** The messages of its upload: the header, then the file in pieces. */
export async function* messagesOf(
  { path, bytes, sha256 }: ModelFile,
  header: Omit<MessageInitShape<typeof UploadHeaderSchema>, "$typeName" | "sha256" | "bytes">,
): AsyncGenerator<MessageInitShape<typeof UploadModelRequestSchema>> {
  yield { part: { case: "header", value: { ...header, sha256, bytes: BigInt(bytes) } } };
  for await (const chunk of chunksOf(path)) yield { part: { case: "chunk", value: chunk } };
}

const chunksOf = (path: string): AsyncIterable<Uint8Array> => createReadStream(path, { highWaterMark: CHUNK_BYTES });
