import { fork } from "node:child_process";
import { join } from "node:path";
import { type ErrorCode, MillraceError } from "@millrace/runtime";
import type { ModelTasks } from "./modelTasks.ts";

/** What goes to the process, and comes back. */
export interface TaskMessage {
  readonly task: keyof ModelTasks;
  readonly request: unknown;
}

export type TaskAnswer = { readonly result: unknown } | { readonly code: ErrorCode; readonly message: string };

const MAIN = join(import.meta.dirname, "modelProcessMain.ts");
/** A model that takes longer to be tried would not be served either: the gateway waits as long for its warm-up. */
const LIMIT_MS = 60_000;

/**
 * Does something with a model in a process of its own: a file that anybody may upload can block a thread for minutes or crash in native
 * code, and neither can be stopped from within.
 *
 * @throws what the task throws; `invalid_argument` when the model took the process down, or takes too long; the signal's reason
 */
export function inModelProcess<Task extends keyof ModelTasks>(
  task: Task,
  request: Parameters<ModelTasks[Task]>[0],
  signal: AbortSignal,
): Promise<Awaited<ReturnType<ModelTasks[Task]>>> {
  const child = fork(MAIN, { serialization: "advanced", execArgv: [], stdio: ["ignore", "ignore", "ignore", "ipc"] });
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<ModelTasks[Task]>>>();
  const limit = setTimeout(() => reject(broken(`did not come to an end within ${LIMIT_MS / 1_000} s`)), LIMIT_MS);
  const stop = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  child.on("message", (answer: TaskAnswer) => {
    if ("result" in answer) resolve(answer.result as never);
    else reject(new MillraceError(answer.code, answer.message));
  });
  child.on("error", reject);
  child.on("exit", (status, by) => reject(broken(`ended the process that tried it (${by ?? `status ${status}`})`)));
  child.send({ task, request } satisfies TaskMessage);
  return promise.finally(() => {
    clearTimeout(limit);
    signal.removeEventListener("abort", stop);
    child.kill("SIGKILL");
  });
}

const broken = (what: string): MillraceError =>
  new MillraceError("invalid_argument", `The model ${what}; try it with onnxruntime, and with a smaller batch`);
