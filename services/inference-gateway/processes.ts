import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { describeError, isReadinessMessage, MillraceError, type StartContext } from "@millrace/runtime";
import { RestartPolicy } from "./restartPolicy.ts";

export interface GatewayProcessesOptions extends StartContext {
  readonly processes: number;
  /** Where all of them listen, `host:port`; port 0 takes a free one. */
  readonly address: string;
}

/** Processes that have not stopped by then are killed; whoever stops this one gives it 9 to 10 s. */
const STOP_LIMIT_MS = 8_000;

/**
 * The gateway in several processes behind one port (`node:cluster`): this one accepts the connections and hands them out in
 * turn, each for its whole life. A process that ends is started again; when that does not help, the service fails.
 * Ready when all are, and from then on while at least one is.
 */
export class GatewayProcesses implements AsyncDisposable {
  readonly #options: GatewayProcessesOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Set<Worker>();
  readonly #ready = new Set<Worker>();
  readonly #allReady = Promise.withResolvers<void>();
  readonly #stopped: Promise<unknown>;
  #started = false;
  #kept: Promise<unknown> = Promise.resolve();

  private constructor(options: GatewayProcessesOptions) {
    this.#options = options;
    this.#stopped = once(this.#stopping.signal, "abort");
    if (options.signal.aborted) this.#stopping.abort();
    options.signal.addEventListener("abort", () => this.#stopping.abort(), { once: true });
  }

  /** Resolves when all processes are ready, or when the service has to stop; one that cannot start fails the service. */
  static async start(options: GatewayProcessesOptions): Promise<GatewayProcesses> {
    const address = await withPort(options.address);
    const processes = new GatewayProcesses({ ...options, address });
    cluster.schedulingPolicy = cluster.SCHED_RR;
    // Standard input stays with this process: it tells that the parent has gone.
    cluster.setupPrimary({ stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const numbers = Array.from({ length: options.processes }, (_, index) => index + 1);
    processes.#kept = Promise.all(numbers.map((number) => processes.#keepRunning(number)));
    await Promise.race([processes.#allReady.promise, processes.#stopped]);
    processes.#started = true;
    if (!options.signal.aborted) {
      options.logger.info(
        { address, processes: options.processes },
        `${options.processes} processes listen on ${address}`,
      );
    }
    return processes;
  }

  /** Lets every process finish the calls that it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    const limit = setTimeout(() => this.#signal("SIGKILL"), STOP_LIMIT_MS);
    this.#signal("SIGTERM");
    await this.#kept;
    clearTimeout(limit);
  }

  #signal(signal: NodeJS.Signals): void {
    for (const worker of this.#running) worker.process.kill(signal);
  }

  async #keepRunning(number: number): Promise<void> {
    const { logger, fail } = this.#options;
    const policy = new RestartPolicy();
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const since = performance.now();
      const how = await this.#run(number);
      if (signal.aborted) return;
      const what = `process ${number} of the gateway ended (${how})`;
      if (!this.#started) {
        fail(new MillraceError("failed_precondition", `${what} while it was starting; its own message is above`));
        return;
      }
      const delayMs = policy.delayMs(performance.now() - since);
      if (delayMs === undefined) {
        fail(new MillraceError("internal", `${what} again and again: giving up; its own messages are above`));
        return;
      }
      logger.error({ process: number, delayMs }, `${what}; starting it again in ${delayMs / 1_000} s`);
      await delay(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Runs a process until it ends; how it ended. */
  async #run(number: number): Promise<string> {
    const worker = cluster.fork({
      MILLRACE_GRPC_ADDRESS: this.#options.address,
      MILLRACE_PARENT: "",
      OTEL_RESOURCE_ATTRIBUTES: resourceAttributes(process.env["OTEL_RESOURCE_ATTRIBUTES"], number),
    });
    this.#running.add(worker);
    worker.on("message", (message: unknown) => {
      if (isReadinessMessage(message)) this.#setReady(worker, message.ready);
    });
    const ended = Promise.withResolvers<string>();
    worker.on("exit", (status, signal) => ended.resolve(signal ?? `exit status ${status}`));
    worker.on("error", (error) => {
      if (worker.process.pid === undefined) ended.resolve(error.message);
    });
    const how = await ended.promise;
    this.#running.delete(worker);
    this.#setReady(worker, false);
    return how;
  }

  #setReady(worker: Worker, ready: boolean): void {
    if (ready) this.#ready.add(worker);
    else this.#ready.delete(worker);
    if (this.#started) this.#options.setReady(this.#ready.size > 0);
    else if (this.#ready.size === this.#options.processes) this.#allReady.resolve();
  }
}

/**
 * Tells the processes' metrics apart: the same name for the same process after a restart, so that the number of series stays.
 *
 * @param given what OTEL_RESOURCE_ATTRIBUTES says already
 */
export function resourceAttributes(given = "", number: number, host = hostname()): string {
  const attributes = given.split(",").filter((attribute) => attribute.trim() !== "");
  const key = "service.instance.id=";
  const instance =
    attributes
      .find((attribute) => attribute.trim().startsWith(key))
      ?.trim()
      .slice(key.length) ?? host;
  const others = attributes.filter((attribute) => !attribute.trim().startsWith(key));
  return [...others, `${key}${instance}.${number}`].join(",");
}

/**
 * All processes need the same port, also those that come later: for port 0 a free one.
 *
 * @throws `failed_precondition` when the host is not ours.
 */
async function withPort(address: string): Promise<string> {
  if (!address.endsWith(":0")) return address;
  const host = address.slice(0, -":0".length);
  const server = createServer();
  try {
    server.listen(0, host.replace(/^\[(.*)\]$/, "$1"));
    await once(server, "listening");
  } catch (cause) {
    const text = `MILLRACE_GRPC_ADDRESS: cannot listen on ${address} (${describeError(cause)}); choose another host`;
    throw new MillraceError("failed_precondition", text, { cause });
  }
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return `${host}:${port}`;
}
