import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type {
  RegistryService,
  UploadHeaderSchema,
  UploadModelRequestSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import type { RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";

type Header = MessageInitShape<typeof UploadHeaderSchema>;

export interface Uploaded {
  readonly model: ModelVersion;
  readonly knownBefore: boolean;
  readonly stages: readonly string[];
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The messages of an upload, the file in three chunks. */
export async function* messagesOf(
  file: Uint8Array,
  header: Header,
): AsyncGenerator<MessageInitShape<typeof UploadModelRequestSchema>> {
  const known = { author: "Ada", sha256: sha256(file), bytes: BigInt(file.length) };
  yield { part: { case: "header", value: { ...known, ...header } } };
  const size = Math.ceil(file.length / 3);
  for (let start = 0; start < file.length; start += size) {
    yield { part: { case: "chunk", value: file.subarray(start, start + size) } };
  }
}

/** Uploads a file and waits for the registered version. */
export async function upload(
  registry: RpcClient<typeof RegistryService>,
  file: Uint8Array,
  header: Header,
): Promise<Uploaded> {
  const stages: string[] = [];
  for await (const { step } of registry.uploadModel(messagesOf(file, header))) {
    if (step.case === "progress" && stages.at(-1) !== step.value.stage) stages.push(step.value.stage);
    if (step.case === "result" && step.value.model !== undefined) {
      return { model: step.value.model, knownBefore: step.value.knownBefore, stages };
    }
  }
  throw new MillraceError("internal", "the upload ended without a result");
}
