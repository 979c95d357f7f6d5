import { type Clock, describeError, MillraceError, systemClock } from "@millrace/runtime";
import type { Answer } from "./answer.ts";
import { type AnswerReader, NO_ROWS } from "./answerReader.ts";
import { Backlog } from "./backlog.ts";
import { Batcher, type BatcherOptions, DEFAULT_PRIORITY, ONE_ROW, type Terms, type Ticket } from "./batcher.ts";
import { DeadlineTimer } from "./deadlineTimer.ts";
import type { Executor, RunResult } from "./executor.ts";
import type { InferTerms, PendingOutputs, PendingRow, RowRequest, Waiting } from "./laneRequest.ts";
import type { BatchMetrics } from "./metrics.ts";
import type { ModelSignature } from "./modelSignature.ts";
import { ModelStatistics } from "./modelStatistics.ts";
import { overload, Refusals, refusal } from "./refusal.ts";
import { collate, indivisible, rowsOf, type TensorRequest, union } from "./tensorRequest.ts";
import type { RunCosts } from "./warmUp.ts";
import type { Outputs } from "./workers/messages.ts";

export interface LaneOptions {
  /** `<app>/<number>`, for messages and metrics. */
  readonly version: string;
  readonly artefact: string;
  readonly signature: ModelSignature;
  /** How rows are answered; absent for models that nobody asks for rows. */
  readonly reader?: AnswerReader | undefined;
  /** False: the model runs one request at a time, whatever its rows. */
  readonly batched: boolean;
  readonly batch: BatcherOptions;
  /** No run takes less. */
  readonly leastRunMs: number;
  /** Of runs, as the warm-up measured them; empty: nothing is known. */
  readonly costs: RunCosts;
  readonly executor: Executor;
  readonly clock: Clock;
  readonly metrics: BatchMetrics;
  /** Asks for `pump` to be called soon. */
  readonly wake: () => void;
}

/** A request that was with the model for this share of its time has had a fair chance, however long it waited before. */
const FAIR_SHARE = 0.5;

/** The way into one model version: queue, batches, deadlines. The shell of `batcher.ts`. */
export class Lane implements Disposable {
  readonly version: string;
  readonly statistics = new ModelStatistics();
  /** Positions of the model's outputs. */
  readonly allOutputs: readonly number[];
  readonly #options: LaneOptions;
  readonly #batcher: Batcher<Waiting>;
  readonly #backlog: Backlog;
  readonly #refusals = new Refusals();
  readonly #timer: DeadlineTimer;
  readonly #reader: AnswerReader;
  readonly #rowDims: readonly number[];
  #idle: (() => void) | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.version = options.version;
    const { inputs, outputs } = options.signature;
    this.allOutputs = outputs.map((_, index) => index);
    this.#reader = options.reader ?? NO_ROWS;
    this.#rowDims = [1, ...(inputs[0]?.shape.slice(1) ?? [])];
    this.#batcher = new Batcher(this.#suited(options.batch), options.leastRunMs);
    this.#backlog = new Backlog(options.costs);
    this.#timer = new DeadlineTimer(options.clock, () => this.#expire());
  }

  /** Most rows of a request; undefined where the model takes each request as it is. */
  get maxRows(): number | undefined {
    return this.#options.batched ? this.#batcher.options.maxSize : undefined;
  }

  get batching(): BatcherOptions {
    return this.#batcher.options;
  }

  /**
   * Asks a registry model for a row's answer. The promise fails as that of `infer` does.
   *
   * @param deadline Milliseconds on the lane's clock.
   */
  submit({ features, traceparent }: RowRequest, deadline: number): PendingRow {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const dims = this.#rowDims[1] === -1 ? [1, features.length] : this.#rowDims;
    const inputs = [{ data: features, dims }];
    const { wanted } = this.#reader;
    const waiting: Waiting = {
      inputs,
      rows: 1,
      key: "",
      wanted,
      traceparent,
      resolveRow: resolve,
      resolveOutputs: undefined,
      reject,
      modelsFault: false,
    };
    const cancel = this.#offer(waiting, deadline, ONE_ROW);
    return { answer: promise, cancel, blame: waiting };
  }

  /**
   * Asks a registry model for rows that stand one after the other, at most `maxRows`, as one request: they fail together. `answerOf` finds
   * their answers in the outputs. The promise fails as that of `infer` does.
   */
  submitRows(features: Float64Array, rows: number, deadline: number, traceparent: string): PendingOutputs {
    const inputs = [{ data: features, dims: [rows, features.length / rows] }];
    const { wanted } = this.#reader;
    return this.infer({ inputs, rows, key: "", wanted }, { deadline, traceparent });
  }

  /** The answer to a row of a registry model; undefined: what the model says is none. */
  answerOf(outputs: Outputs, row: number): Answer | undefined {
    return this.#reader.read(outputs, row);
  }

  /**
   * Asks for a model's outputs. The promise fails with `resource_exhausted` at once when the queue is full or takes longer than the
   * request has time, or later when a more important request takes its place; `deadline_exceeded` at the deadline, `cancelled`, or what the
   * run failed with.
   */
  infer(request: TensorRequest, { deadline, queueBy, priority, traceparent }: InferTerms): PendingOutputs {
    const { promise, resolve, reject } = Promise.withResolvers<Outputs>();
    const rows = this.#options.batched ? request.rows : 1;
    const own = { traceparent, resolveRow: undefined, resolveOutputs: resolve, reject, modelsFault: false };
    const waiting: Waiting = { ...request, ...own };
    const terms = { rows, key: request.key, priority: priority ?? DEFAULT_PRIORITY, queueBy };
    const cancel = this.#offer(waiting, deadline, terms);
    return { outputs: promise, cancel, blame: waiting };
  }

  /** What a row would be refused with now; undefined: it would be taken in. Whoever knows it before has not done the rest in vain. */
  refusal(deadline: number): MillraceError | undefined {
    const now = this.#options.clock.now();
    if (!this.#overloaded(deadline, ONE_ROW, now)) return undefined;
    this.statistics.failure.add(1, 0);
    return this.#refusal(now);
  }

  /** Takes other batching settings; what waits already follows them, too. */
  configure(batch: BatcherOptions): void {
    this.#batcher.options = this.#suited(batch);
    this.#options.wake();
  }

  /** When its oldest waiting request arrived. */
  get oldestArrival(): number | undefined {
    return this.#batcher.oldestArrival();
  }

  /** Rows that wait. */
  get waitingRows(): number {
    return this.#batcher.waitingRows;
  }

  /** Hands over the batches that are due. */
  pump(): void {
    const { clock, executor, version } = this.#options;
    const now = clock.now();
    for (;;) {
      const batch = this.#batcher.take(now, executor.availability);
      if (batch === undefined) break;
      void this.#run(batch, now);
    }
    for (const ticket of this.#batcher.hopeless()) {
      const text = `${version}: the ${Math.max(0, Math.round(ticket.deadline - now))} ms left are too few for any run`;
      this.#fail(ticket, refusal("deadline_exceeded", text), now);
    }
    this.#timer.arm(this.#batcher.nextWakeAt(executor.availability));
    this.#tellIdle();
  }

  /** Answers what has expired. Only after what has arrived was taken in: on a thread that is late an answer may lie unread. */
  #expire(): void {
    const now = this.#options.clock.now();
    for (const ticket of this.#batcher.expire(now)) {
      const waited = Math.round(now - ticket.arrivedAt);
      const where = ticket.running ? "the model did not answer" : "its request still waited for a worker";
      ticket.payload.modelsFault = this.#hadTheTime(ticket, now);
      this.#fail(ticket, refusal("deadline_exceeded", `${this.version}: ${where} after ${waited} ms`), now);
    }
    this.pump();
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

  #suited(batch: BatcherOptions): BatcherOptions {
    return this.#options.batched ? batch : { ...batch, maxSize: 1 };
  }

  /** Returns how to give the request up. */
  #offer(waiting: Waiting, deadline: number, terms: Terms): () => void {
    const now = this.#options.clock.now();
    if (this.#overloaded(deadline, terms, now)) return this.#refuse(waiting, now);
    let ticket = this.#batcher.offer(waiting, deadline, now, terms);
    if (ticket === undefined) {
      for (const displaced of this.#batcher.displace(terms)) {
        this.#fail(displaced, this.#overload("a more important request took this one's place", now), now);
      }
      ticket = this.#batcher.offer(waiting, deadline, now, terms);
    }
    if (ticket === undefined) return this.#refuse(waiting, now);
    this.#options.wake();
    const taken = ticket;
    return () => this.#cancel(taken);
  }

  #overloaded(deadline: number, { rows, priority, queueBy }: Terms, now: number): boolean {
    const rowsAhead = this.#batcher.rowsAhead(priority);
    const leftMs = Math.min(deadline, queueBy ?? Infinity) - now;
    return this.#backlog.overloaded({ rows, rowsAhead, leftMs }, this.#batcher.options.maxSize, now);
  }

  #refuse(waiting: Waiting, now: number): () => void {
    this.statistics.failure.add(1, 0);
    waiting.reject(this.#refusal(now));
    return nothing;
  }

  #refusal(now: number): MillraceError {
    return this.#refusals.get(now, () => this.#overload(`${this.#batcher.waiting} requests wait already`, now));
  }

  #overload(why: string, now: number): MillraceError {
    const { waitingRows, options } = this.#batcher;
    const drainMs = this.#backlog.runningMs(now) + this.#backlog.runMs(waitingRows, options.maxSize);
    return overload(`${this.version}: ${why}`, drainMs);
  }

  /** Whether a request that has expired was with the model for long enough to blame the model. */
  #hadTheTime({ running, handedOverAt, arrivedAt, deadline }: Ticket<Waiting>, now: number): boolean {
    if (!running) return false;
    return now - handedOverAt >= FAIR_SHARE * (deadline - arrivedAt) || this.#backlog.overdue(now);
  }

  #cancel(ticket: Ticket<Waiting>): void {
    if (ticket.settled) return;
    this.#batcher.cancel(ticket);
    this.#fail(ticket, new MillraceError("cancelled", "the caller has gone"), this.#options.clock.now());
    this.#tellIdle();
  }

  #fail(ticket: Ticket<Waiting>, error: MillraceError, now: number): void {
    this.statistics.failure.add(1, now - ticket.arrivedAt);
    ticket.payload.reject(error);
  }

  #tellIdle(): void {
    if (this.#batcher.unsettled === 0) this.#idle?.();
  }

  /** Runs a batch; when that fails because of one of its requests, each of them alone, so that only that one fails. */
  async #run(batch: Ticket<Waiting>[], now: number): Promise<void> {
    const { executor, clock, metrics, signature, version, artefact } = this.#options;
    const requests = batch.map(({ payload }) => payload);
    let rows = 0;
    let queueMs = 0;
    for (const { terms, arrivedAt } of batch) {
      rows += terms.rows;
      queueMs += now - arrivedAt;
    }
    const traceparents = requests.map(({ traceparent }) => traceparent);
    const finishSpan = metrics.started(version, rows, now - (batch[0] as Ticket<Waiting>).arrivedAt, traceparents);
    let result: RunResult | undefined;
    let failure: MillraceError | undefined;
    let collatedAt = now;
    this.#backlog.started(rows, now);
    try {
      const inputs = collate(signature.inputs, requests, rows, executor.keepsInputs);
      collatedAt = clock.now();
      result = await executor.run(artefact, inputs, union(requests));
      const problem = batch.length > 1 ? indivisible(result.outputs, signature.outputs, rows) : undefined;
      if (problem !== undefined) failure = new MillraceError("internal", problem);
    } catch (error) {
      failure = error instanceof MillraceError ? error : new MillraceError("internal", describeError(error));
    }
    this.#backlog.ended(rows, clock.now(), result !== undefined);
    finishSpan(failure);
    if (failure !== undefined && failure.code !== "unavailable" && batch.length > 1) {
      for (const ticket of batch) if (!ticket.settled) await this.#run([ticket], clock.now());
    } else this.#settle(batch, result, failure);
    if (result !== undefined) {
      const endedAt = clock.now();
      const inferMs = result.runMs;
      const times = { rows, requests: batch.length, queueMs, inputMs: collatedAt - now, inferMs };
      this.statistics.ran({ ...times, outputMs: Math.max(0, endedAt - collatedAt - inferMs) }, systemClock.now());
    }
    this.#tellIdle();
  }

  #settle(batch: readonly Ticket<Waiting>[], result: RunResult | undefined, failure: MillraceError | undefined): void {
    const now = this.#options.clock.now();
    const wanted = this.#batcher.finish(batch);
    const error = failure && new MillraceError(failure.code, `${this.version}: ${failure.message}`, { cause: failure });
    let batchRows = 0;
    for (const { terms } of batch) batchRows += terms.rows;
    let firstRow = 0;
    let next = 0;
    let answeredMs = 0;
    for (const [index, ticket] of batch.entries()) {
      if (wanted[next] === index) {
        next += 1;
        if (error !== undefined) {
          ticket.payload.modelsFault = true;
          this.#fail(ticket, error, now);
        } else {
          answeredMs += now - ticket.arrivedAt;
          this.#answer(ticket.payload, (result as RunResult).outputs, firstRow, batchRows);
        }
      }
      firstRow += ticket.terms.rows;
    }
    if (error === undefined) this.statistics.success.add(wanted.length, answeredMs);
  }

  /** Takes a request's rows out of a batch's outputs. */
  #answer(waiting: Waiting, outputs: Outputs, first: number, all: number): void {
    const { resolveRow, resolveOutputs, rows, reject } = waiting;
    if (resolveRow === undefined) {
      const whole = rows === all || !this.#options.batched;
      resolveOutputs?.(whole ? outputs : outputs.map((output) => output && rowsOf(output, first, rows)));
      return;
    }
    const answer = this.#reader.read(outputs, first);
    if (answer !== undefined) resolveRow(answer);
    else {
      waiting.modelsFault = true;
      reject(new MillraceError("internal", `${this.version}: answered ${this.#reader.describe(outputs, first)}`));
    }
  }
}

const nothing = (): void => undefined;
