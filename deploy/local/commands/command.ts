/** One command of the command line. */
export interface Command {
  readonly name: string;
  /** Its arguments, for the help: `<app.yaml>`. */
  readonly usage: string;
  /** What it does, in one line. */
  readonly what: string;
  /** Its options and what they mean, for its own --help. */
  readonly details?: string;
  /** Runs it; returns the exit status. */
  run(commandArguments: readonly string[]): Promise<number>;
}
