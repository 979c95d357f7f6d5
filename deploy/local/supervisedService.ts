import { setTimeout as delay } from "node:timers/promises";
import { MillraceError } from "@millrace/runtime";
import { OwnProcess } from "./childProcess.ts";
import { ROOT } from "./home.ts";
import { waitFor } from "./waitFor.ts";

export interface SupervisedServiceOptions {
  readonly name: string;
  /** Node's arguments: its options, then the main module. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly httpPort: number;
  readonly logFile: string;
  readonly say: (line: string) => void;
}

export interface UntilReadyOptions {
  readonly limitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** A crashed service starts again after half a second, then after twice as long each time, up to this. */
const LONGEST_DELAY_MS = 30_000;
const FIRST_DELAY_MS = 500;
/** One that has run for so long has recovered: the next crash counts as the first. */
const RECOVERED_MS = 60_000;
/** A first start migrates a database, on a machine that is busy starting everything else. */
const READY_LIMIT_MS = 60_000;

/** One service in a process of its own, started again whenever it ends without being asked to. */
export class SupervisedService implements AsyncDisposable {
  readonly name: string;
  readonly #options: SupervisedServiceOptions;
  readonly #stopping = new AbortController();
  #process: OwnProcess;
  #restarts = 0;
  #watching: Promise<void> | undefined;

  private constructor(options: SupervisedServiceOptions, process: OwnProcess) {
    this.name = options.name;
    this.#options = options;
    this.#process = process;
  }

  static async start(options: SupervisedServiceOptions): Promise<SupervisedService> {
    return new SupervisedService(options, await spawnService(options));
  }

  /** From now on it is started again whenever it ends; before, an end is the failure of its start. */
  keepRunning(): void {
    this.#watching ??= this.#watch();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** How often it was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /**
   * kill -9, as a test of what it survives; resolves when it has been started again and is ready.
   *
   * @throws `deadline_exceeded` with the end of its log.
   */
  async crash(limitMs = READY_LIMIT_MS): Promise<void> {
    const before = this.#restarts;
    this.kill("SIGKILL");
    try {
      await waitFor(async () => this.#restarts > before && (await this.isReady()), {
        deadlineMs: limitMs,
        everyMs: 50,
      });
    } catch (cause) {
      const starts = `started ${this.#restarts - before} times`;
      throw new MillraceError(
        "deadline_exceeded",
        `${this.name} was not ready within ${limitMs} ms after kill -9 (${starts}); its log ends: ${this.#process.lastWords()}`,
        { cause },
      );
    }
  }

  /** @throws `unavailable` when it ends first for the first time, or is not ready in time, with the end of its log. */
  async untilReady({ limitMs = READY_LIMIT_MS, signal }: UntilReadyOptions = {}): Promise<void> {
    const restarts = this.#restarts;
    await waitFor(async () => this.#restarts > restarts || this.#process.how !== undefined || (await this.isReady()), {
      deadlineMs: limitMs,
      signal,
      everyMs: 50,
      what: `${this.name} to be ready (its log: ${this.#options.logFile})`,
    });
    if (await this.isReady()) return;
    throw new MillraceError(
      "unavailable",
      `${this.name} stopped while it was starting (${this.#process.how}); ${this.#options.logFile} says: ${this.#process.lastWords()}`,
    );
  }

  async isReady(): Promise<boolean> {
    try {
      const answer = await fetch(`http://127.0.0.1:${this.#options.httpPort}/readyz`, {
        signal: AbortSignal.timeout(2_000),
      });
      await answer.body?.cancel();
      return answer.ok;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#process[Symbol.asyncDispose]();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    let delayMs = FIRST_DELAY_MS;
    while (!this.#stopping.signal.aborted) {
      const since = Date.now();
      const how = await this.#process.ended;
      if (this.#stopping.signal.aborted) return;
      if (Date.now() - since > RECOVERED_MS) delayMs = FIRST_DELAY_MS;
      this.#options.say(`${this.name} stopped (${how}); starting it again in ${delayMs / 1_000} s`);
      await delay(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
      this.#restarts += 1;
      const restarted = await spawnService(this.#options);
      this.#process = restarted;
      if (this.#stopping.signal.aborted) await restarted[Symbol.asyncDispose]();
    }
  }
}

function spawnService(options: SupervisedServiceOptions): Promise<OwnProcess> {
  return OwnProcess.start({
    name: options.name,
    command: process.execPath,
    arguments: options.arguments,
    environment: options.environment,
    logFile: options.logFile,
    cwd: ROOT,
    holdInput: true,
    // A little less than services allow themselves, so that all of the system stops within 10 s.
    stopLimitMs: 9_000,
  });
}
