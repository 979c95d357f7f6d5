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

/** Scores that a model has for each row. */
export const outputsOf = (task: Task): number => (task.kind === "multiclass" ? task.classes.length : 1);

/** A label for people. */
export const labelText = (task: Task, label: number): string =>
  task.kind === "multiclass" ? (task.classes[label] ?? String(label)) : String(label);
