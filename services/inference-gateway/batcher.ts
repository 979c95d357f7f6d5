import { DeadlineQueue, type Due } from "./deadlineQueue.ts";

export interface BatcherOptions {
  /** Most requests that wait; one more is refused. */
  readonly maxQueue: number;
  /** Most requests in a batch. */
  readonly maxSize: number;
  /** A busy worker's next batch is handed over ahead once its oldest request has waited so long, or when it is full. */
  readonly maxDelayMs: number;
}

/** One request on its way: in the queue, in a batch, or settled (answered, cancelled or expired). */
export interface Ticket<Payload> extends Due {
  readonly payload: Payload;
  readonly arrivedAt: number;
  running: boolean;
}

/** What a batch would find: a worker that waits, one that works and can take the next batch ahead, or neither. */
export type Availability = "idle" | "busy" | "full";

/**
 * Makes batches out of requests. Work-conserving: with an idle worker nothing ever waits, and whatever arrives during a run
 * forms the next batch. Every request is settled exactly once: answered, cancelled, or expired at its deadline, in the queue
 * or during the run. Pure: time comes in with every call, in milliseconds; who runs batches, and when, is the caller's matter.
 */
export class Batcher<Payload> {
  options: BatcherOptions;
  readonly #deadlines = new DeadlineQueue<Ticket<Payload>>();
  /** First come, first served; settled tickets stay until they reach the front or outnumber the others. */
  #queue: Ticket<Payload>[] = [];
  #front = 0;
  #waiting = 0;
  #millisecondsPerRequest = 0;

  constructor(options: BatcherOptions) {
    this.options = options;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Requests not settled yet, in the queue or in a batch. */
  get unsettled(): number {
    return this.#deadlines.size;
  }

  /** Takes a request in; undefined when the queue is full. */
  offer(payload: Payload, deadline: number, now: number): Ticket<Payload> | undefined {
    if (this.#waiting >= this.options.maxQueue) return undefined;
    const ticket: Ticket<Payload> = { payload, deadline, arrivedAt: now, settled: false, running: false };
    this.#queue.push(ticket);
    this.#waiting += 1;
    this.#deadlines.push(ticket);
    return ticket;
  }

  /** The caller has gone: a waiting request leaves the queue, a running one's result will not be asked for. */
  cancel(ticket: Ticket<Payload>): void {
    if (ticket.settled) return;
    this.#deadlines.settle(ticket);
    if (!ticket.running) this.#left(1);
  }

  /** Those whose deadline has come, waiting or running: settled now, for the caller to answer. */
  expire(now: number): Ticket<Payload>[] {
    const expired = this.#deadlines.due(now);
    let left = 0;
    for (const ticket of expired) if (!ticket.running) left += 1;
    this.#left(left);
    return expired;
  }

  /** The next batch for a worker, oldest first, or undefined when nothing should be handed over yet. */
  take(now: number, availability: Availability): Ticket<Payload>[] | undefined {
    if (availability === "full" || this.#waiting === 0) return undefined;
    if (availability === "busy" && this.#waiting < this.options.maxSize && now < this.#ripeAt()) return undefined;
    const size = Math.min(this.#waiting, this.options.maxSize);
    const batch: Ticket<Payload>[] = [];
    while (batch.length < size) {
      const ticket = this.#queue[this.#front] as Ticket<Payload>;
      this.#front += 1;
      if (ticket.settled) continue;
      ticket.running = true;
      batch.push(ticket);
    }
    this.#left(batch.length);
    return batch;
  }

  /**
   * A batch has ended, well or badly: settles its requests and says which of them somebody still waits for, as indices into
   * the batch.
   */
  finish(batch: readonly Ticket<Payload>[], runMs: number): number[] {
    const perRequest = runMs / batch.length;
    this.#millisecondsPerRequest += (perRequest - this.#millisecondsPerRequest) * 0.1;
    const wanted: number[] = [];
    batch.forEach((ticket, index) => {
      if (ticket.settled) return;
      this.#deadlines.settle(ticket);
      wanted.push(index);
    });
    return wanted;
  }

  /** When to look again if nothing else happens: at the next deadline, or when a batch becomes ripe for a busy worker. */
  nextWakeAt(availability: Availability): number | undefined {
    const deadline = this.#deadlines.next();
    if (availability !== "busy" || this.#waiting === 0) return deadline;
    return Math.min(deadline ?? Infinity, this.#ripeAt());
  }

  /** When the oldest waiting request arrived; undefined when none waits. */
  oldestArrival(): number | undefined {
    return this.#waiting === 0 ? undefined : this.#oldest().arrivedAt;
  }

  /** How long the present queue will take, from the runs seen so far: when a refused caller should come again. */
  get drainMs(): number {
    return Math.ceil(Math.max(1, this.#waiting * this.#millisecondsPerRequest));
  }

  #ripeAt(): number {
    return this.#oldest().arrivedAt + this.options.maxDelayMs;
  }

  #oldest(): Ticket<Payload> {
    while ((this.#queue[this.#front] as Ticket<Payload>).settled) this.#front += 1;
    return this.#queue[this.#front] as Ticket<Payload>;
  }

  /** Requests have left the queue; gives back the room of those that left it long ago. */
  #left(count: number): void {
    this.#waiting -= count;
    if (this.#waiting === 0) {
      this.#queue.length = 0;
      this.#front = 0;
    } else if (this.#queue.length > 2 * this.#waiting + 64) {
      this.#queue = this.#queue.slice(this.#front).filter((ticket) => !ticket.settled);
      this.#front = 0;
    }
  }
}
