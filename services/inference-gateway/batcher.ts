import { DeadlineQueue, type Due } from "./deadlineQueue.ts";
import { type InLine, WaitingLine } from "./waitingLine.ts";

export interface BatcherOptions {
  /** Most rows that wait; a request that does not fit is refused, unless nothing waits. */
  readonly maxQueue: number;
  /** Most rows in a batch. */
  readonly maxSize: number;
  /** A busy worker's next batch is handed over ahead once a request has waited so long, or a batch's worth of rows waits. */
  readonly maxDelayMs: number;
}

/** Levels of priority: 1 is served first, 5 last. */
export const PRIORITY_LEVELS = 5;
export const DEFAULT_PRIORITY = 3;

/** How a request wants to be treated. */
export interface Terms {
  readonly rows: number;
  /** Only requests with equal keys share a batch. */
  readonly key: string;
  /** 1 to PRIORITY_LEVELS. */
  readonly priority: number;
  /** By then it must have been handed over, however far away its deadline is. */
  readonly queueBy?: number | undefined;
}

/** One row, like all others. */
export const ONE_ROW: Terms = { rows: 1, key: "", priority: DEFAULT_PRIORITY };

/** One request on its way: in the queue, in a batch, or settled (answered, cancelled, expired or displaced). */
export interface Ticket<Payload> extends Due, InLine {
  readonly payload: Payload;
  readonly terms: Terms;
  readonly queueLimit: QueueLimit<Payload> | undefined;
  /** When it was handed over in a batch; Infinity before. */
  handedOverAt: number;
}

interface QueueLimit<Payload> extends Due {
  ticket: Ticket<Payload> | undefined;
}

/** What a batch would find: a worker that waits, one that works and can take the next batch ahead, or neither. */
export type Availability = "idle" | "busy" | "full";

/**
 * Makes batches out of requests, by rows. Work-conserving: with an idle worker nothing ever waits, and whatever arrives during
 * a run forms the next batch: the first in line by priority and arrival, and those after it that fit and have its key. Every
 * request is settled exactly once: answered, cancelled, displaced by a more important one, or expired, in the queue or during
 * the run. Pure: time comes in with every call, in milliseconds; who runs batches, and when, is the caller's matter.
 */
export class Batcher<Payload> {
  options: BatcherOptions;
  /** No run takes less than this: a request whose deadline is nearer is not handed over. */
  readonly #leastRunMs: number;
  readonly #deadlines = new DeadlineQueue<Ticket<Payload>>();
  readonly #queueLimits = new DeadlineQueue<QueueLimit<Payload>>();
  /** By priority. */
  readonly #lines = Array.from({ length: PRIORITY_LEVELS }, () => new WaitingLine<Ticket<Payload>>());
  #waiting = 0;
  #waitingRows = 0;
  /** By priority. */
  readonly #rowsOf = Array.from({ length: PRIORITY_LEVELS }, () => 0);
  #hopeless: Ticket<Payload>[] = [];

  constructor(options: BatcherOptions, leastRunMs = 0) {
    this.options = options;
    this.#leastRunMs = leastRunMs;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Rows in the queue. */
  get waitingRows(): number {
    return this.#waitingRows;
  }

  /** Rows in the queue that are served before a request of that priority. */
  rowsAhead(priority: number): number {
    let rows = 0;
    for (let level = 0; level < priority; level += 1) rows += this.#rowsOf[level] as number;
    return rows;
  }

  /** Requests not settled yet, in the queue or in a batch. */
  get unsettled(): number {
    return this.#deadlines.size;
  }

  /** Takes a request in; undefined when the queue is full. */
  offer(payload: Payload, deadline: number, now: number, terms: Terms = ONE_ROW): Ticket<Payload> | undefined {
    if (this.#waiting > 0 && this.#waitingRows + terms.rows > this.options.maxQueue) return undefined;
    const { queueBy } = terms;
    const queueLimit: QueueLimit<Payload> | undefined =
      queueBy === undefined || queueBy >= deadline
        ? undefined
        : { deadline: queueBy, settled: false, ticket: undefined };
    const ticket: Ticket<Payload> = {
      payload,
      terms,
      deadline,
      arrivedAt: now,
      settled: false,
      running: false,
      queueLimit,
      handedOverAt: Infinity,
    };
    if (queueLimit !== undefined) {
      queueLimit.ticket = ticket;
      this.#queueLimits.push(queueLimit);
    }
    this.#lineOf(ticket).push(ticket);
    this.#counts(terms, 1);
    this.#deadlines.push(ticket);
    return ticket;
  }

  /**
   * Makes room in a full queue for a request by settling less important ones, the least important first and of those the
   * youngest; returns them for the caller to refuse. None when that would not make enough room.
   */
  displace({ rows, priority }: Terms): Ticket<Payload>[] {
    let excess = this.#waitingRows + rows - this.options.maxQueue;
    let lowerRows = 0;
    for (const line of this.#lines.slice(priority)) {
      line.scan(({ terms }) => {
        lowerRows += terms.rows;
        return lowerRows < excess;
      });
    }
    if (lowerRows < excess) return [];
    const displaced: Ticket<Payload>[] = [];
    for (const line of this.#lines.slice(priority).reverse()) {
      for (let last = line.last(); excess > 0 && last !== undefined; last = line.last()) {
        excess -= last.terms.rows;
        this.cancel(last);
        displaced.push(last);
      }
    }
    return displaced;
  }

  /** The caller has gone: a waiting request leaves the queue, a running one's result will not be asked for. */
  cancel(ticket: Ticket<Payload>): void {
    if (ticket.settled) return;
    this.#deadlines.settle(ticket);
    if (!ticket.running) this.#left(ticket);
  }

  /** Those whose time has come, waiting or running: settled now, for the caller to answer. */
  expire(now: number): Ticket<Payload>[] {
    const expired = this.#deadlines.due(now);
    for (const ticket of expired) if (!ticket.running) this.#left(ticket);
    for (const { ticket } of this.#queueLimits.due(now)) {
      if (ticket === undefined || ticket.settled || ticket.running) continue;
      this.cancel(ticket);
      expired.push(ticket);
    }
    return expired;
  }

  /** Those that `take` found too late for any run: settled now, for the caller to answer. */
  hopeless(): readonly Ticket<Payload>[] {
    if (this.#hopeless.length === 0) return this.#hopeless;
    const hopeless = this.#hopeless;
    this.#hopeless = [];
    return hopeless;
  }

  /** The next batch for a worker, or undefined when nothing should be handed over yet. */
  take(now: number, availability: Availability): Ticket<Payload>[] | undefined {
    if (availability === "full") return undefined;
    const { maxSize } = this.options;
    while (this.#waiting > 0) {
      if (availability === "busy" && this.#waitingRows < maxSize && now < this.#ripeAt()) return undefined;
      const batch = this.#gather(now, maxSize);
      if (batch.length > 0) return batch;
    }
    return undefined;
  }

  /**
   * A batch, or a part of one, has ended, well or badly: settles its requests and says which of them somebody still waits for,
   * as indices into it.
   */
  finish(batch: readonly Ticket<Payload>[]): number[] {
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
    const deadline = earliest(this.#deadlines.next(), this.#queueLimits.next());
    if (availability !== "busy" || this.#waiting === 0) return deadline;
    return earliest(deadline, this.#ripeAt());
  }

  /** When the oldest waiting request arrived; undefined when none waits. */
  oldestArrival(): number | undefined {
    if (this.#waiting === 0) return undefined;
    let oldest = Infinity;
    for (const line of this.#lines) {
      if (line.size > 0) oldest = Math.min(oldest, (line.first() as Ticket<Payload>).arrivedAt);
    }
    return oldest;
  }

  /** The first in line and whoever fits into its batch, in order; who cannot make it is set aside. */
  #gather(now: number, maxSize: number): Ticket<Payload>[] {
    const earliestEnd = now + this.#leastRunMs;
    const batch: Ticket<Payload>[] = [];
    let key: string | undefined;
    let rows = 0;
    let full = false;
    for (const line of this.#lines) {
      if (line.size === 0) continue;
      let left = 0;
      line.scan((ticket) => {
        const { terms } = ticket;
        if (key !== undefined && terms.key !== key) return true;
        if (ticket.deadline < earliestEnd) {
          this.#deadlines.settle(ticket);
          this.#hopeless.push(ticket);
        } else {
          full = batch.length > 0 && rows + terms.rows > maxSize;
          if (full) return false;
          ticket.running = true;
          ticket.handedOverAt = now;
          key = terms.key;
          rows += terms.rows;
          batch.push(ticket);
          full = rows >= maxSize;
        }
        this.#leaves(ticket);
        left += 1;
        return !full;
      });
      line.left(left);
      if (full) break;
    }
    return batch;
  }

  #ripeAt(): number {
    return (this.oldestArrival() as number) + this.options.maxDelayMs;
  }

  #lineOf({ terms }: Ticket<Payload>): WaitingLine<Ticket<Payload>> {
    return this.#lines[terms.priority - 1] as WaitingLine<Ticket<Payload>>;
  }

  #counts({ rows, priority }: Terms, sign: 1 | -1): void {
    this.#waiting += sign;
    this.#waitingRows += sign * rows;
    this.#rowsOf[priority - 1] = (this.#rowsOf[priority - 1] as number) + sign * rows;
  }

  #leaves({ terms, queueLimit }: Ticket<Payload>): void {
    this.#counts(terms, -1);
    if (queueLimit !== undefined) this.#queueLimits.settle(queueLimit);
  }

  #left(ticket: Ticket<Payload>): void {
    this.#leaves(ticket);
    this.#lineOf(ticket).left(1);
  }
}

const earliest = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined ? other : other === undefined ? one : Math.min(one, other);
