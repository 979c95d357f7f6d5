import { createHash } from "node:crypto";
import type { Bus } from "@millrace/bus";
import { describeError, MillraceError } from "@millrace/runtime";

/** ONNX files in the object store `models`, named by their SHA-256: what was evaluated is what serves. */
export class Artefacts {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Stores a file, once. @returns its name. */
  async put(bytes: Uint8Array): Promise<string> {
    const name = createHash("sha256").update(bytes).digest("hex");
    const store = await this.#bus.objects("models");
    try {
      if ((await store.info(name))?.size !== bytes.length) await store.putBlob({ name }, bytes);
    } catch (cause) {
      throw new MillraceError("unavailable", `The model file could not be stored: ${describeError(cause)}`, { cause });
    }
    return name;
  }

  /** @throws `data_loss` when it is missing, or is not what its name says. */
  async get(name: string): Promise<Uint8Array> {
    const store = await this.#bus.objects("models");
    let bytes: Uint8Array | null;
    try {
      bytes = await store.getBlob(name);
    } catch (cause) {
      // A digest that differs is the file's fault, everything else the bus's.
      const code = /digest|corrupt/i.test(describeError(cause)) ? "data_loss" : "unavailable";
      throw new MillraceError(code, `The model file ${short(name)} is not readable: ${describeError(cause)}`, {
        cause,
      });
    }
    if (bytes === null)
      throw new MillraceError("data_loss", `The model file ${short(name)} is not in the store models`);
    if (createHash("sha256").update(bytes).digest("hex") !== name) {
      throw new MillraceError("data_loss", `The model file ${short(name)} was altered: its content has another hash`);
    }
    return bytes;
  }
}

const short = (name: string): string => `${name.slice(0, 12)}…`;
