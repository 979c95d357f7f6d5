import { setImmediate as nextTurn } from "node:timers/promises";
import { openSession } from "@millrace/onnx";
import { describeError, MillraceError } from "@millrace/runtime";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { INPUT, OUTPUT } from "./export/onnx.ts";

/** ONNX Runtime blocks the thread while it runs; other calls get their turn after this many rows. */
const CHUNK_ROWS = 4_096;

/** Loaded models kept at hand; a session holds native memory, of which ONNX Runtime gives back not all. */
const MAX_SESSIONS = 4;

interface Loaded {
  readonly session: Promise<InferenceSession>;
  users: number;
}

/** Answers of ONNX files, kept loaded by content hash. */
export class Scoring implements AsyncDisposable {
  readonly #loaded = new Map<string, Loaded>();
  readonly #fetch: (artefact: string) => Promise<Uint8Array>;

  /** @param fetch gives a file's bytes by its content hash */
  constructor(fetch: (artefact: string) => Promise<Uint8Array>) {
    this.#fetch = fetch;
  }

  /**
   * @param values row after row, `columns` numbers each; NaN is missing
   * @returns one probability per row
   * @throws `data_loss` for a file that is missing, altered or not loadable, or that answers something else than probabilities
   */
  async score(artefact: string, values: Float32Array, columns: number, signal: AbortSignal): Promise<Float64Array> {
    const loaded = this.#open(artefact);
    loaded.users += 1;
    try {
      return await run(await loaded.session, values, columns, signal);
    } finally {
      loaded.users -= 1;
      await this.#evict();
    }
  }

  #open(artefact: string): Loaded {
    const known = this.#loaded.get(artefact);
    this.#loaded.delete(artefact);
    const loaded = known ?? { session: this.#load(artefact), users: 0 };
    // The map's order is the order of the last use.
    this.#loaded.set(artefact, loaded);
    loaded.session.catch(() => this.#loaded.delete(artefact));
    return loaded;
  }

  async #load(artefact: string): Promise<InferenceSession> {
    const bytes = await this.#fetch(artefact);
    return openModel(bytes);
  }

  async #evict(): Promise<void> {
    for (const [artefact, { session, users }] of this.#loaded) {
      if (this.#loaded.size <= MAX_SESSIONS) return;
      if (users > 0) continue;
      this.#loaded.delete(artefact);
      await (await session).release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const loaded = [...this.#loaded.values()];
    this.#loaded.clear();
    for (const { session } of loaded) await session.then((ready) => ready.release()).catch(() => undefined);
  }
}

async function openModel(bytes: Uint8Array): Promise<InferenceSession> {
  try {
    return await openSession(bytes);
  } catch (cause) {
    throw new MillraceError("data_loss", describeError(cause), { cause });
  }
}

async function run(
  session: InferenceSession,
  values: Float32Array,
  columns: number,
  signal: AbortSignal,
): Promise<Float64Array> {
  const rows = columns === 0 ? 0 : values.length / columns;
  const answers = new Float64Array(rows);
  for (let start = 0; start < rows; start += CHUNK_ROWS) {
    signal.throwIfAborted();
    const end = Math.min(rows, start + CHUNK_ROWS);
    const chunk = values.subarray(start * columns, end * columns);
    answers.set(await runChunk(session, chunk, end - start, columns), start);
    await nextTurn();
  }
  return answers;
}

async function runChunk(
  session: InferenceSession,
  values: Float32Array,
  rows: number,
  columns: number,
): Promise<Float32Array> {
  let answer: Tensor | undefined;
  try {
    answer = (await session.run({ [INPUT]: new Tensor("float32", values, [rows, columns]) }, [OUTPUT]))[OUTPUT];
  } catch (cause) {
    throw new MillraceError("data_loss", `the model file's run failed: ${describeError(cause)}`, { cause });
  }
  if (!(answer?.data instanceof Float32Array) || answer.data.length !== rows) {
    throw new MillraceError(
      "data_loss",
      `the model file answers ${answer?.type ?? "nothing"} [${answer?.dims.join(", ") ?? ""}] for ${rows} rows; expected float32 [${rows}, 1]`,
    );
  }
  if (!answer.data.every((probability) => probability >= 0 && probability <= 1)) {
    throw new MillraceError("data_loss", "the model file answers something that is not a probability");
  }
  return answer.data;
}
