import { Task as AppTask, type Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MillraceError } from "@millrace/runtime";

/** What labels are, and with it what a model answers. */
export type Task =
  /** Labels are 0 or 1; the answer is the probability of 1. */
  | { readonly kind: "binary" }
  /** Labels are indexes of the classes; the answer is a probability of each. */
  | { readonly kind: "multiclass"; readonly classes: readonly string[] }
  /** Labels are numbers; the answer is one, too. */
  | { readonly kind: "regression" };

export const BINARY: Task = { kind: "binary" };
export const REGRESSION: Task = { kind: "regression" };

/** @throws `failed_precondition` for a task that this program does not know */
export function taskOf({ task, classes }: Pick<Model, "task" | "classes">): Task {
  switch (task) {
    case AppTask.UNSPECIFIED:
    case AppTask.BINARY:
      return BINARY;
    case AppTask.MULTICLASS:
      return { kind: "multiclass", classes };
    case AppTask.REGRESSION:
      return REGRESSION;
    default:
      throw new MillraceError(
        "failed_precondition",
        `The app's task ${String(task)} is not known to this version of Millrace`,
      );
  }
}

/** Scores that a model has for each row. */
export const outputsOf = (task: Task): number => (task.kind === "multiclass" ? task.classes.length : 1);

/** A label for people. */
export const labelText = (task: Task, label: number): string =>
  task.kind === "multiclass" ? (task.classes[label] ?? String(label)) : String(label);
