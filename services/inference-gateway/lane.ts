import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import { Batcher, type BatcherOptions, type Ticket } from "./batcher.ts";
import { DeadlineTimer } from "./deadlineTimer.ts";
import type { Executor, RunResult } from "./executor.ts";
import type { BatchMetrics } from "./metrics.ts";

/** A request for one row of a model version. */
export interface RowRequest {
  /** The model's inputs, in its order. */
  readonly features: Float64Array;
  /** W3C trace context of the call; empty when it is not sampled. */
  readonly traceparent: string;
}

interface Waiting extends RowRequest {
  readonly resolve: (probability: number) => void;
  readonly reject: (error: MillraceError) => void;
}

/** A row on its way: its answer, and how to give it up. */
export interface PendingRow {
  readonly probability: Promise<number>;
  readonly cancel: () => void;
}

export interface LaneOptions {
  /** `<app>/<number>`, for messages and metrics. */
  readonly version: string;
  readonly artefact: string;
  readonly columns: number;
  readonly batch: BatcherOptions;
  readonly executor: Executor;
  readonly clock: Clock;
  readonly metrics: BatchMetrics;
  /** Asks for `pump` to be called soon. */
  readonly wake: () => void;
}

/** The way into one model version: queue, batches, deadlines. The shell of `batcher.ts`. */
export class Lane implements Disposable {
  readonly version: string;
  readonly #options: LaneOptions;
  readonly #batcher: Batcher<Waiting>;
  readonly #timer: DeadlineTimer;
  #idle: (() => void) | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.version = options.version;
    this.#batcher = new Batcher(options.batch);
    this.#timer = new DeadlineTimer(options.clock, () => this.pump());
  }

  /**
   * Asks for a row's probability. The promise fails with `resource_exhausted` at once when the queue is full,
   * `deadline_exceeded` at the deadline, `cancelled`, or what the run failed with.
   *
   * @param deadline Milliseconds on the lane's clock.
   */
  submit(request: RowRequest, deadline: number): PendingRow {
    const { clock, version } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const ticket = this.#batcher.offer({ ...request, resolve, reject }, deadline, clock.now());
    if (ticket === undefined) {
      const retryAfterMs = this.#batcher.drainMs;
      const message = `${version}: ${this.#batcher.waiting} requests wait already; try again in ${retryAfterMs} ms`;
      reject(new MillraceError("resource_exhausted", message, { retryAfterMs }));
      return { probability: promise, cancel: () => undefined };
    }
    this.#options.wake();
    return { probability: promise, cancel: () => this.#cancel(ticket) };
  }

  /** Takes other batching settings; what waits already follows them, too. */
  configure(batch: BatcherOptions): void {
    this.#batcher.options = batch;
    this.#options.wake();
  }

  /** When its oldest waiting request arrived. */
  get oldestArrival(): number | undefined {
    return this.#batcher.oldestArrival();
  }

  /** Answers what has expired and hands over the batches that are due. */
  pump(): void {
    const { clock, executor, version } = this.#options;
    const now = clock.now();
    for (const ticket of this.#batcher.expire(now)) {
      const waited = Math.round(now - ticket.arrivedAt);
      const where = ticket.running ? "the model did not answer" : "its request still waited for a worker";
      ticket.payload.reject(new MillraceError("deadline_exceeded", `${version}: ${where} after ${waited} ms`));
    }
    for (;;) {
      const batch = this.#batcher.take(now, executor.availability);
      if (batch === undefined) break;
      void this.#run(batch, now);
    }
    this.#timer.arm(this.#batcher.nextWakeAt(executor.availability));
    if (this.#batcher.unsettled === 0) this.#idle?.();
  }

  /** Resolves once nobody waits for an answer any more. */
  async drained(): Promise<void> {
    if (this.#batcher.unsettled === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #cancel(ticket: Ticket<Waiting>): void {
    if (ticket.settled) return;
    this.#batcher.cancel(ticket);
    ticket.payload.reject(new MillraceError("cancelled", "the caller has gone"));
    if (this.#batcher.unsettled === 0) this.#idle?.();
  }

  async #run(batch: Ticket<Waiting>[], now: number): Promise<void> {
    const { artefact, columns, executor, clock, metrics, version } = this.#options;
    const features = new Float32Array(batch.length * columns);
    batch.forEach((ticket, row) => features.set(ticket.payload.features, row * columns));
    const finish = metrics.started(
      version,
      batch.length,
      now - (batch[0] as Ticket<Waiting>).arrivedAt,
      batch.map((ticket) => ticket.payload.traceparent),
    );
    let result: RunResult | undefined;
    let failure: MillraceError | undefined;
    try {
      result = await executor.run(artefact, features, batch.length, columns);
    } catch (error) {
      failure = error instanceof MillraceError ? error : new MillraceError("internal", describeError(error));
    }
    finish(failure);
    for (const index of this.#batcher.finish(batch, clock.now() - now)) {
      const { resolve, reject } = (batch[index] as Ticket<Waiting>).payload;
      if (failure === undefined) this.#answer(resolve, reject, result?.probabilities[index]);
      else reject(new MillraceError(failure.code, `${version}: ${failure.message}`, { cause: failure }));
    }
    if (this.#batcher.unsettled === 0) this.#idle?.();
  }

  #answer(resolve: Waiting["resolve"], reject: Waiting["reject"], probability: number | undefined): void {
    if (probability !== undefined && probability >= 0 && probability <= 1) resolve(probability);
    else reject(new MillraceError("internal", `${this.version}: answered ${probability}, which is no probability`));
  }
}
