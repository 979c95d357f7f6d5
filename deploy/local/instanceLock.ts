import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { MillraceError } from "@millrace/runtime";

/** Keeps a second system from starting on the same data. Released when disposed of, and void once its process has gone. */
export class InstanceLock implements Disposable {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** @throws `failed_precondition` when a system runs there, naming its process. */
  static take(file: string, home: string): InstanceLock {
    for (let tries = 0; tries < 3; tries += 1) {
      try {
        writeFileSync(file, `${process.pid} ${startOf(process.pid)}\n`, { flag: "wx" });
        return new InstanceLock(file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const owner = instanceOwner(file);
      if (owner !== undefined) {
        throw new MillraceError(
          "failed_precondition",
          `Millrace is already running on ${home} (process ${owner}); stop it first, or set MILLRACE_HOME to another folder`,
        );
      }
      rmSync(file, { force: true });
    }
    throw new MillraceError("failed_precondition", `Another Millrace is just starting on ${home}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#file, { force: true });
  }
}

/** The process that holds the lock, or undefined when nobody does. */
export function instanceOwner(file: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  const [pid = 0, start = ""] = text.trim().split(" ");
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  // The same number may belong to a newer process.
  return startOf(Number(pid)) === start ? Number(pid) : undefined;
}

/** When a process started, in the kernel's clock ticks; "0" where there is no /proc. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0";
  } catch {
    return "0";
  }
}
