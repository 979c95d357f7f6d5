/** The inside of an inference worker: its own sessions, one batch after the other. */
import { parentPort } from "node:worker_threads";
import { describeError, MillraceError } from "@millrace/runtime";
import type { FromWorker, ToWorker } from "./messages.ts";
import { ModelSession } from "./session.ts";
import { ownedBuffers } from "./transfer.ts";

const port = parentPort;
if (port === null) throw new Error("inferenceWorker.ts runs as a worker thread");

const sessions = new Map<string, ModelSession>();
let last: Promise<void> = Promise.resolve();

port.on("message", (message: ToWorker) => {
  last = last.then(() => handle(message));
});
answer({ kind: "ready" });

async function handle(message: ToWorker): Promise<void> {
  try {
    if (message.kind === "load") await load(message);
    else await run(message);
  } catch (error) {
    const code = error instanceof MillraceError ? error.code : "internal";
    answer({ kind: "failed", id: message.id, code, message: describeError(error) });
  }
}

async function load({ id, artefact, bytes, threads }: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  if (!sessions.has(artefact)) sessions.set(artefact, await ModelSession.load(bytes, threads));
  answer({ kind: "loaded", id });
}

async function run({ id, artefact, inputs, wanted }: Extract<ToWorker, { kind: "run" }>): Promise<void> {
  const session = sessions.get(artefact);
  if (session === undefined) throw new Error(`the model ${artefact} is not loaded in this worker`);
  const startedAt = performance.now();
  const outputs = await session.run(inputs, wanted);
  answer({ kind: "ran", id, outputs, runMs: performance.now() - startedAt }, ownedBuffers(outputs));
}

function answer(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}
