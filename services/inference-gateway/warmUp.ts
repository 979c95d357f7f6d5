import { describeError, MillraceError } from "@millrace/runtime";
import type { Datatype } from "./datatypes.ts";
import { hasBatchDimension, type ModelSignature } from "./modelSignature.ts";
import type { Sampler } from "./sampleInputs.ts";
import { showShape, type TensorValue } from "./tensor.ts";
import { rowsOf } from "./tensorRequest.ts";
import { InferenceThread } from "./workers/inferenceThread.ts";
import type { Outputs } from "./workers/messages.ts";

/** Milliseconds of one run by batch size, as measured in a worker: the median of several. */
export type RunCosts = ReadonlyMap<number, number>;

export interface WarmUpOptions {
  readonly artefact: string;
  /** As ONNX Runtime is given them. */
  readonly bytes: Uint8Array;
  readonly signature: ModelSignature;
  /** Largest batch. */
  readonly maxRows: number;
  /** Rows that are calculated together and one by one. */
  readonly proofRows: number;
  readonly sampler: Sampler;
  /** Most threads inside one run. */
  readonly maxThreads: number;
}

export interface WarmedUp {
  /** Empty: batched equals unbatched. Else why rows must not be put together. */
  readonly unbatchedBecause: string;
  readonly costs: RunCosts;
  /** Inside one run. */
  readonly threads: number;
  /** What the rows of the proof got, one by one. */
  readonly alone: readonly Outputs[];
}

/** A model that takes longer than this to prove itself does not serve. */
const LIMIT_MS = 30_000;
/** Sums in another order may differ in the last bits of a float32. */
const TOLERANCE = 1e-5;
/** Half precision has 11 bits (FP16) or 8 (BF16). */
const HALF_TOLERANCE = 1e-2;
/** A model whose largest batch takes less has nothing to gain from threads. */
const THREADS_FROM_MS = 5;
/** Threads that do not pay with at least this are left to others. */
const THREADS_GAIN = 1.5;
const ROUNDS = 9;
/** A slow model is measured in fewer rounds. */
const ROUNDS_MS = 500;

/**
 * Proves in a worker of its own, before any traffic, that a model loads, runs, and answers a batch as it answers its rows one
 * by one. Measures what runs cost.
 *
 * @throws `failed_precondition` when it does not load or run; `unavailable` when no worker could be had, or it took too long.
 */
export async function warmUp(options: WarmUpOptions): Promise<WarmedUp> {
  const thread = new InferenceThread(() => undefined);
  const limit = setTimeout(() => void thread.abandon(`no end after ${LIMIT_MS} ms of warm-up`), LIMIT_MS);
  try {
    await thread.ready;
    await thread.load(options.artefact, options.bytes, 1);
    if (!hasBatchDimension(options.signature)) {
      return { unbatchedBecause: "it has no batch dimension", ...(await choose(thread, options, [1])), alone: [] };
    }
    const { alone, problem } = await proveBatching(thread, options);
    const { maxRows } = options;
    const sizes = problem === "" ? [1, Math.min(8, maxRows), maxRows] : [1];
    return { unbatchedBecause: problem, ...(await choose(thread, options, sizes)), alone };
  } catch (error) {
    if (error instanceof MillraceError && (error.code === "internal" || error.code === "invalid_argument")) {
      throw new MillraceError("failed_precondition", error.message, { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(limit);
    void thread.abandon("its warm-up is over");
  }
}

async function proveBatching(
  thread: InferenceThread,
  { artefact, signature, proofRows, sampler }: WarmUpOptions,
): Promise<{ alone: Outputs[]; problem: string }> {
  const wanted = signature.outputs.map((_, index) => index);
  const alone: Outputs[] = [];
  const rows = sampler(proofRows);
  for (let row = 0; row < proofRows; row += 1) {
    const one = rows.map((input) => rowsOf(input, row, 1));
    alone.push((await thread.run(artefact, one.map(copied), wanted)).outputs);
  }
  let together: Outputs;
  try {
    together = (await thread.run(artefact, rows, wanted)).outputs;
  } catch (error) {
    return { alone, problem: `${proofRows} rows cannot be run together: ${describeError(error)}` };
  }
  for (const [index, { name, datatype }] of signature.outputs.entries()) {
    const batch = together[index] as TensorValue;
    for (const [row, outputs] of alone.entries()) {
      const difference = compare(outputs[index] as TensorValue, batch, row, proofRows, datatype);
      if (difference !== "")
        return { alone, problem: `${name} of row ${row} in a batch of ${proofRows} ${difference}` };
    }
  }
  return { alone, problem: "" };
}

/** Empty when a row got the same alone as in its batch. */
function compare(alone: TensorValue, batch: TensorValue, row: number, rows: number, datatype: Datatype): string {
  if (alone.dims[0] !== 1 || batch.dims[0] !== rows) {
    return `cannot be told apart: its shape is ${showShape(batch.dims)}, and ${showShape(alone.dims)} for one row`;
  }
  const part = rowsOf(batch, row, 1);
  if (part.dims.join() !== alone.dims.join()) {
    return `has the shape ${showShape(part.dims)}, and ${showShape(alone.dims)} when it is asked alone`;
  }
  const tolerance = datatype.name === "FP16" || datatype.name === "BF16" ? HALF_TOLERANCE : TOLERANCE;
  for (let index = 0; index < alone.data.length; index += 1) {
    const [one, other] = [alone.data[index], part.data[index]];
    if (!alike(one, other, tolerance)) return `gets ${String(other)}, and ${String(one)} when it is asked alone`;
  }
  return "";
}

function alike(one: unknown, other: unknown, tolerance: number): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "number" || typeof other !== "number") return one === other;
  return Math.abs(one - other) <= tolerance * Math.max(1, Math.abs(one));
}

/** Measures with one thread inside a run, and for slow models with as many as there may be: the others keep one. */
async function choose(
  thread: InferenceThread,
  options: WarmUpOptions,
  sizes: readonly number[],
): Promise<Pick<WarmedUp, "costs" | "threads">> {
  const { artefact, bytes, maxThreads } = options;
  const costs = await measure(thread, options, sizes);
  const largestMs = Math.max(...costs.values());
  if (maxThreads === 1 || largestMs < THREADS_FROM_MS) return { costs, threads: 1 };
  const threaded = `${artefact} with threads`;
  await thread.load(threaded, bytes, maxThreads);
  const faster = await measure(thread, { ...options, artefact: threaded }, sizes);
  const gains = largestMs / Math.max(...faster.values()) >= THREADS_GAIN;
  return gains ? { costs: faster, threads: maxThreads } : { costs, threads: 1 };
}

async function measure(
  thread: InferenceThread,
  { artefact, signature, sampler }: WarmUpOptions,
  sizes: readonly number[],
): Promise<RunCosts> {
  const wanted = signature.outputs.map((_, index) => index);
  const costs = new Map<number, number>();
  for (const size of new Set(sizes)) {
    const times: number[] = [];
    const startedAt = performance.now();
    while (times.length < ROUNDS && performance.now() - startedAt < ROUNDS_MS) {
      times.push((await thread.run(artefact, sampler(size), wanted)).runMs);
    }
    costs.set(size, times.sort((a, b) => a - b)[times.length >> 1] as number);
  }
  return costs;
}

/** Its own memory: what a worker is given is gone here. */
const copied = ({ data, dims }: TensorValue): TensorValue => ({ data: data.slice(), dims });
