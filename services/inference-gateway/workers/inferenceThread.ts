import { Worker } from "node:worker_threads";
import { MillraceError } from "@millrace/runtime";
import type { TensorValue } from "../tensor.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { ownedBuffers } from "./transfer.ts";

interface Waiting {
  readonly resolve: (answer: FromWorker) => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
  readonly isRun: boolean;
}

/** One worker thread, seen from outside: what was asked of it is answered, or fails when it ends. */
export class InferenceThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready = Promise.withResolvers<void>();
  #nextId = 0;
  #runs = 0;
  /** Messages that it has not answered, whoever still waits for that. */
  #unanswered = 0;
  readonly #exited = Promise.withResolvers<void>();
  #ended = false;

  /** `onEnd` is called once when the thread has ended without being asked to. */
  constructor(onEnd: (thread: InferenceThread, why: string) => void) {
    this.#worker = new Worker(new URL("inferenceWorker.ts", import.meta.url));
    this.#ready.promise.catch(() => undefined);
    this.#worker.on("message", (message: FromWorker) => this.#take(message));
    let why = "it exited";
    this.#worker.on("error", (error: Error) => {
      why = error.message;
    });
    this.#worker.on("exit", () => {
      const unasked = !this.#ended;
      this.#end(why);
      this.#exited.resolve();
      if (unasked) onEnd(this, why);
    });
  }

  /** Resolves when it takes messages. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Batches given to it and not answered. */
  get runs(): number {
    return this.#runs;
  }

  /** When the run that it is busy with was given to it; undefined when it is idle. */
  get busySince(): number | undefined {
    for (const waiting of this.#waiting.values()) if (waiting.isRun) return waiting.since;
    return undefined;
  }

  async load(artefact: string, bytes: Uint8Array, threads: number): Promise<void> {
    await this.#ask((id) => ({ kind: "load", id, artefact, bytes, threads }), false);
  }

  /** The inputs are given away. */
  async run(
    artefact: string,
    inputs: readonly TensorValue[],
    wanted: readonly number[],
  ): Promise<Extract<FromWorker, { kind: "ran" }>> {
    this.#runs += 1;
    try {
      const transfer = ownedBuffers(inputs);
      const answer = await this.#ask((id) => ({ kind: "run", id, artefact, inputs, wanted }), true, transfer);
      return answer as Extract<FromWorker, { kind: "ran" }>;
    } finally {
      this.#runs -= 1;
    }
  }

  /**
   * Lets it go: what it still works on fails now. The thread itself ends once it has come back from its native call, for
   * ending it before takes the whole process down: onnxruntime-node 1.30 then throws a C++ exception that nobody catches.
   * Resolves when it has ended.
   */
  async abandon(why: string): Promise<void> {
    this.#end(why);
    if (this.#unanswered === 0) await this.#worker.terminate();
    else await this.#exited.promise;
  }

  #ask(message: (id: number) => ToWorker, isRun: boolean, transfer: ArrayBuffer[] = []): Promise<FromWorker> {
    if (this.#ended) return Promise.reject(new MillraceError("unavailable", "the inference worker has ended"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, since: performance.now(), isRun });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#worker.postMessage(message(id), transfer);
      this.#unanswered += 1;
    });
  }

  #take(message: FromWorker): void {
    if (message.kind === "ready") {
      this.#ready.resolve();
      return;
    }
    this.#unanswered -= 1;
    if (this.#ended && this.#unanswered === 0) void this.#worker.terminate();
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "failed") waiting?.reject(new MillraceError(message.code, message.message));
    else waiting?.resolve(message);
  }

  #end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const error = new MillraceError("unavailable", `the inference worker ended: ${why}`);
    this.#ready.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
