import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

/**
 * Makes sure that nothing outlives this process: a tiny shell (`guardian.sh`) that ends the processes it was told of, and
 * removes the folders, when this one has gone without doing so itself (kill -9, a crash).
 */
class Guardian {
  #shell: ChildProcess | undefined;

  watch(pid: number): void {
    this.#tell(`watch ${pid}`);
  }

  forget(pid: number): void {
    this.#tell(`forget ${pid}`);
  }

  removeAtEnd(folder: string): void {
    this.#tell(`remove ${folder}`);
  }

  /** When this process ends, what is left gets half a second instead of ten. */
  hurry(): void {
    this.#tell("hurry");
  }

  #tell(line: string): void {
    this.#shell ??= startShell();
    this.#shell.stdin?.write(`${line}\n`);
  }
}

function startShell(): ChildProcess {
  // Detached: a Ctrl-C in the terminal must not end the guardian before those it guards.
  const shell = spawn("/bin/sh", [join(import.meta.dirname, "guardian.sh")], {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.on("error", () => undefined);
  shell.stdin?.on("error", () => undefined);
  (shell.stdin as unknown as { unref(): void }).unref();
  shell.unref();
  return shell;
}

export const guardian = new Guardian();
