import cluster from "node:cluster";
import { describeError } from "./error.ts";
import { HealthServer, type Readiness, WorkerReadiness } from "./health.ts";
import { createLogger, type Logger } from "./logger.ts";

export interface ServiceContext {
  readonly logger: Logger;
  /** Aborted when the service has been asked to stop: stop pulling, finish what is in hand. */
  readonly signal: AbortSignal;
  /** Ends the process as if it had been asked to stop, with exit status 1. */
  readonly fail: (error: unknown) => void;
}

export interface StartContext extends ServiceContext {
  /** A service is ready when it has started. One that can lose that, and get it back, says so here. */
  readonly setReady: (ready: boolean) => void;
}

export interface Service {
  readonly name: string;
  /**
   * Builds the parts in order, giving each to the stack; the stack releases them in reverse. When it throws, what was
   * built so far is released, too.
   */
  start(stack: AsyncDisposableStack, context: StartContext): Promise<void>;
}

/** A stop that has not finished by then is cut short. */
const STOP_LIMIT_MS = 10_000;

/**
 * Runs a service until SIGTERM, SIGINT or the end of its parent: health, ordered start, readiness, graceful stop.
 * Settings: `MILLRACE_HTTP_HOST` (127.0.0.1), `MILLRACE_HTTP_PORT` (0: a free one), `MILLRACE_PARENT` (`stdin`: stop when
 * standard input closes, so that nothing outlives a supervisor that was killed). A worker of `node:cluster` leaves health
 * to its primary.
 */
export async function runService(service: Service): Promise<void> {
  const logger = createLogger(service.name);
  const stopping = new AbortController();
  let exitStatus = 0;
  const stop = (why: string): void => {
    if (stopping.signal.aborted) return;
    logger.info({ why }, "stopping");
    setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref();
    stopping.abort();
  };
  const fail = (error: unknown): void => {
    exitStatus = 1;
    logger.fatal({ err: error }, describeError(error));
    stop("failure");
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  if (process.env["MILLRACE_PARENT"] === "stdin") {
    process.stdin
      .on("end", () => stop("the parent process has gone"))
      .on("error", () => stop("the parent process has gone"))
      .resume();
  }
  try {
    await using stack = new AsyncDisposableStack();
    const host = process.env["MILLRACE_HTTP_HOST"] || "127.0.0.1";
    const server = cluster.isWorker
      ? undefined
      : stack.use(await HealthServer.listen(host, Number(process.env["MILLRACE_HTTP_PORT"] || 0)));
    const health: Readiness = server ?? new WorkerReadiness();
    const setReady = (ready: boolean): void => {
      health.ready = ready && !stopping.signal.aborted;
    };
    await service.start(stack, { logger, signal: stopping.signal, fail, setReady });
    setReady(true);
    logger.info(server === undefined ? {} : { health: `http://${host}:${server.port}` }, "ready");
    await aborted(stopping.signal);
    health.ready = false;
  } catch (error) {
    fail(error);
  }
  await flushTelemetry();
  logger.info("stopped");
  process.exit(exitStatus);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Sends what was measured and traced so far; for a process that ends. The preload `telemetry.ts` leaves its shutdown here. */
export async function flushTelemetry(): Promise<void> {
  const shutdown = (globalThis as { millraceTelemetryShutdown?: () => Promise<void> }).millraceTelemetryShutdown;
  if (shutdown === undefined) return;
  const limit = new Promise<void>((resolve) => setTimeout(resolve, 2_000).unref());
  await Promise.race([shutdown().catch(() => undefined), limit]);
}
