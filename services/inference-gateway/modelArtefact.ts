import { createHash } from "node:crypto";
import type { ObjectStore } from "@millrace/bus";
import { describeError, MillraceError } from "@millrace/runtime";

/**
 * Reads a model's ONNX file from the object store `models`, where its name is its SHA-256.
 *
 * @throws `unavailable` when the store does not answer or does not have it (yet), `data_loss` when its bytes are not those
 *   that its name promises.
 */
export async function readArtefact(store: ObjectStore, artefact: string): Promise<Uint8Array> {
  let bytes: Uint8Array | null;
  try {
    bytes = await store.getBlob(artefact);
  } catch (cause) {
    if (/digest|corrupt|hash/i.test(describeError(cause))) throw corrupt(artefact, describeError(cause), cause);
    throw new MillraceError("unavailable", `The object store cannot give ${artefact}: ${describeError(cause)}`, {
      cause,
    });
  }
  if (bytes === null) throw new MillraceError("unavailable", `The object store has no ${artefact}`);
  const hash = createHash("sha256").update(bytes).digest("hex");
  if (hash !== artefact) throw corrupt(artefact, `its ${bytes.length} bytes have the SHA-256 ${hash}`);
  return bytes;
}

function corrupt(artefact: string, what: string, cause?: unknown): MillraceError {
  return new MillraceError("data_loss", `The model file ${artefact} is corrupt: ${what}; train or upload it again`, {
    cause,
  });
}
