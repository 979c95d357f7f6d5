/** The inside of an inference worker: its own sessions, one batch after the other. */
import { parentPort } from "node:worker_threads";
import { describeError } from "@millrace/runtime";
import type { FromWorker, ToWorker } from "./messages.ts";
import { ModelSession } from "./session.ts";

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
    answer({ kind: "failed", id: message.id, message: describeError(error) });
  }
}

async function load({ id, artefact, bytes }: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  const session = sessions.get(artefact) ?? (await ModelSession.load(bytes));
  sessions.set(artefact, session);
  answer({ kind: "loaded", id, signature: session.signature });
}

async function run({ id, artefact, features, rows, columns }: Extract<ToWorker, { kind: "run" }>): Promise<void> {
  const session = sessions.get(artefact);
  if (session === undefined) throw new Error(`the model ${artefact} is not loaded in this worker`);
  const startedAt = performance.now();
  const probabilities = await session.run(features, rows, columns);
  answer({ kind: "ran", id, probabilities, runMs: performance.now() - startedAt });
}

function answer(message: FromWorker): void {
  port?.postMessage(message);
}
