/** A process that tries a model: one task, one answer. */
import { describeError, MillraceError } from "@millrace/runtime";
import type { TaskAnswer, TaskMessage } from "./modelProcess.ts";
import { modelTasks } from "./modelTasks.ts";

async function perform({ task, request }: TaskMessage): Promise<TaskAnswer> {
  try {
    return { result: await modelTasks[task](request as never) };
  } catch (error) {
    if (error instanceof MillraceError) return { code: error.code, message: error.message };
    return { code: "invalid_argument", message: `The model could not be tried: ${describeError(error)}` };
  }
}

process.once("message", (message: TaskMessage) => void perform(message).then((answer) => process.send?.(answer)));
process.once("disconnect", () => process.exit());
