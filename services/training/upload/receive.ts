import { createHash } from "node:crypto";
import type { UploadHeader, UploadModelRequest } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { MillraceError } from "@millrace/runtime";

/** Reads the first message of an upload. @throws `invalid_argument` naming the field, the rule and the value */
export async function readHeader(requests: AsyncIterator<UploadModelRequest>, maxBytes: number): Promise<UploadHeader> {
  const first = await requests.next();
  const part = first.done === true ? undefined : first.value.part;
  if (part?.case !== "header")
    throw invalid("header", "missing", "the first message is no header; send it before the file");
  const header = part.value;
  for (const field of ["app", "author"] as const) {
    if (header[field] === "") throw invalid(field, "missing", `${field} is empty; name it`);
  }
  if (!/^[0-9a-f]{64}$/.test(header.sha256)) {
    throw invalid(
      "sha256",
      "malformed",
      `sha256 is "${header.sha256}"; expected the file's SHA-256 as 64 hex digits in lower case`,
    );
  }
  if (header.bytes === 0n) throw invalid("bytes", "missing", "bytes is 0; say how long the file is");
  if (header.bytes > maxBytes) {
    const limit = `at most ${maxBytes} are taken (TRAINING_MAX_UPLOAD_BYTES)`;
    throw invalid(
      "bytes",
      "too_large",
      `the file has ${header.bytes} bytes; ${limit}: make the model smaller, or raise the limit`,
    );
  }
  for (const field of ["maxLoss", "maxDifference"] as const) {
    const value = header.quantize?.[field] ?? 0;
    if (!(value >= 0 && value <= 1)) {
      throw invalid(
        `quantize.${field}`,
        "out_of_range",
        `quantize.${field} is ${value}; expected a number from 0 to 1`,
      );
    }
  }
  return header;
}

/**
 * Reads the file that follows a header.
 *
 * @param onBytes told how many bytes have come
 * @throws `invalid_argument` when it is longer or shorter than the header says, or has another hash
 */
export async function readFile(
  requests: AsyncIterator<UploadModelRequest>,
  { bytes, sha256 }: UploadHeader,
  onBytes: (received: number) => void,
): Promise<Uint8Array> {
  const file = new Uint8Array(Number(bytes));
  const hash = createHash("sha256");
  let received = 0;
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const { part } = next.value;
    if (part.case !== "chunk")
      throw invalid("part", "not_a_chunk", "after the header come chunks of the file, and nothing else");
    if (received + part.value.length > file.length) {
      throw invalid("bytes", "too_long", `more bytes came than the ${bytes} that the header says`);
    }
    file.set(part.value, received);
    hash.update(part.value);
    received += part.value.length;
    onBytes(received);
  }
  if (received < file.length) {
    throw invalid("bytes", "too_short", `${received} of ${bytes} bytes came; send the whole file again`);
  }
  const found = hash.digest("hex");
  if (found !== sha256) {
    throw invalid(
      "sha256",
      "differs",
      `the file that came has the SHA-256 ${found}, not ${sha256}: it was altered on its way, send it again`,
    );
  }
  return file;
}

function invalid(field: string, reason: string, description: string): MillraceError {
  return new MillraceError("invalid_argument", description, { violations: [{ field, reason, description }] });
}
