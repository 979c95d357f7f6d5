import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { MillraceError } from "@millrace/runtime";
import { guardian } from "./guardian.ts";
import { lastWords } from "./lastWords.ts";

export interface ChildProcessOptions {
  /** How it is called in messages, such as `nats-server`. */
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /** Run as this user and group; only root may. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly cwd?: string;
  /** Asks it to leave in good order. Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** After that long it is killed. Default: 10 s. */
  readonly stopLimitMs?: number;
  /** Hold its standard input open, so that it notices when this process has gone. */
  readonly holdInput?: boolean;
}

/** A process of ours, in a process group of its own (Ctrl-C reaches only us), that never outlives us. */
export class OwnProcess implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number;
  /** Resolves when it has ended, with how: `exit status 1`, `SIGKILL`. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #stopSignal: NodeJS.Signals;
  readonly #stopLimitMs: number;
  #how: string | undefined;

  private constructor(child: ChildProcess, options: ChildProcessOptions) {
    this.#child = child;
    this.name = options.name;
    this.logFile = options.logFile;
    this.pid = child.pid ?? 0;
    this.#stopSignal = options.stopSignal ?? "SIGTERM";
    this.#stopLimitMs = options.stopLimitMs ?? 10_000;
    this.ended = new Promise((resolve) => {
      child.once("exit", (status, signal) => {
        this.#how = signal ?? `exit status ${status}`;
        guardian.forget(this.pid);
        child.stdin?.destroy();
        resolve(this.#how);
      });
    });
  }

  /** @throws `failed_precondition` when the command cannot be run. */
  static async start(options: ChildProcessOptions): Promise<OwnProcess> {
    mkdirSync(dirname(options.logFile), { recursive: true });
    const log = openSync(options.logFile, "a");
    try {
      const child = spawn(options.command, options.arguments, {
        cwd: options.cwd ?? "/",
        detached: true,
        env: { ...process.env, ...options.environment },
        stdio: [options.holdInput === true ? "pipe" : "ignore", log, log],
        ...options.user,
      });
      child.stdin?.on("error", () => undefined);
      const started = new OwnProcess(child, options);
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", (cause) => {
          const text = `${options.name} could not be started (${options.command}): ${cause.message}`;
          reject(new MillraceError("failed_precondition", text, { cause }));
        });
      });
      guardian.watch(started.pid);
      return started;
    } finally {
      closeSync(log);
    }
  }

  /** How it ended, or undefined while it runs. */
  get how(): string | undefined {
    return this.#how;
  }

  /** Lets our own process end while this one runs; the guardian then ends it. */
  unref(): void {
    this.#child.unref();
    (this.#child.stdin as unknown as { unref?(): void } | null)?.unref?.();
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#how === undefined) this.#child.kill(signal);
  }

  /** Why it failed, in its own words: the last error in its log, or else the log's last lines. */
  lastWords(): string {
    return lastWords(readFileSync(this.logFile, "utf8"));
  }

  /** Asks it to stop; kills it when it has not by the limit. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#how !== undefined) return;
    this.#child.kill(this.#stopSignal);
    const limit = setTimeout(() => this.#child.kill("SIGKILL"), this.#stopLimitMs);
    await this.ended;
    clearTimeout(limit);
  }
}
