import { setTimeout as delay } from "node:timers/promises";
import { describeError, type Logger, MillraceError } from "@millrace/runtime";
import { AckPolicy, type ConsumerConfig, type ConsumerMessages, DeliverPolicy, type JsMsg } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus } from "./connection.ts";
import { type Outcome, reject } from "./outcome.ts";
import { settle } from "./settle.ts";
import { STREAMS } from "./topology.ts";

export interface ConsumerOptions {
  readonly stream: string;
  /** Name under which JetStream remembers the position; replicas with the same name share the work. */
  readonly durable: string;
  /** One subject, wildcards allowed (nats-server before 2.10 knows no more than one). */
  readonly filter: string;
  /** Most messages given to `handle` at once. */
  readonly maxBatch: number;
  /**
   * Handles messages in stream order and says how each ended, once that is durable; one outcome for all is fine. When it
   * throws, the batch is tried again with growing delays: for ever when the error is `unavailable` (a database that is
   * away is no message's fault), else message by message, until the one that cannot be handled is known and rejected.
   */
  handle(messages: readonly JsMsg[]): Promise<Outcome | readonly Outcome[]>;
  /** Called once when the consumer cannot go on, for example because it was deleted. */
  onFailure(error: unknown): void;
  /**
   * How long a batch that is not full waits for more messages. What a batch costs whatever its size, such as a commit, is then paid less
   * often when messages come one by one. Default 0: a free handler never waits.
   */
  readonly lingerMs?: number;
  /** A message not settled by then is delivered again. Long handlers are fine: they are kept alive. */
  readonly ackWaitMs?: number;
  /** Where a consumer that is created now begins; default: at the stream's beginning. */
  readonly startSequence?: number;
}

/** Tries of a single message before it is rejected, when it fails by its own fault. */
const MAX_TRIES = 5;

/** A running durable consumer: pulls ahead while the handler works, and hands over whatever has come meanwhile. */
export class RunningConsumer implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #options: ConsumerOptions;
  readonly #logger: Logger;
  readonly #messages: ConsumerMessages;
  readonly #stopping = new AbortController();
  readonly #ackWaitMs: number;
  #waiting: JsMsg[] = [];
  #wake: (() => void) | undefined;
  #finished: Promise<void> = Promise.resolve();

  private constructor(
    bus: Bus,
    options: ConsumerOptions,
    logger: Logger,
    messages: ConsumerMessages,
    ackWaitMs: number,
  ) {
    this.#bus = bus;
    this.#options = options;
    this.#logger = logger;
    this.#messages = messages;
    this.#ackWaitMs = ackWaitMs;
  }

  static async start(bus: Bus, options: ConsumerOptions, logger: Logger): Promise<RunningConsumer> {
    const ackWaitMs = options.ackWaitMs ?? 10_000;
    await createConsumer(bus, options, ackWaitMs);
    const consumer = await bus.jetstream.consumers.get(options.stream, options.durable);
    let running: RunningConsumer | undefined;
    const early: JsMsg[] = [];
    const messages = await consumer.consume({
      max_messages: options.maxBatch * 2,
      callback: (message) => {
        if (running === undefined) early.push(message);
        else running.#take(message);
      },
    });
    running = new RunningConsumer(bus, options, logger, messages, ackWaitMs);
    for (const message of early) running.#take(message);
    running.#finished = running.#run();
    void messages.closed().then((error) => {
      if (!running.#stopping.signal.aborted)
        options.onFailure(error ?? new Error(`consumer ${options.durable} was closed`));
    });
    return running;
  }

  /** Stops pulling, finishes the batch in hand, and gives the rest back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    await this.#messages.close().catch(() => undefined);
    await this.#finished;
    for (const message of this.#waiting) message.nak();
    this.#waiting = [];
  }

  #take(message: JsMsg): void {
    this.#waiting.push(message);
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { maxBatch } = this.#options;
    while (!this.#stopping.signal.aborted) {
      if (this.#waiting.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      await this.#linger();
      const batch = this.#waiting.splice(0, maxBatch);
      try {
        await this.#handle(batch);
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#options.onFailure(error);
        return;
      }
    }
  }

  async #linger(): Promise<void> {
    const { lingerMs = 0, maxBatch } = this.#options;
    if (lingerMs === 0 || this.#waiting.length >= maxBatch) return;
    await delay(lingerMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  async #handle(batch: readonly JsMsg[]): Promise<void> {
    const alive = setInterval(() => {
      for (const message of batch) message.working();
      for (const message of this.#waiting) message.working();
    }, this.#ackWaitMs / 2);
    try {
      await this.#tryUntilSettled(batch);
    } finally {
      clearInterval(alive);
    }
  }

  async #tryUntilSettled(batch: readonly JsMsg[]): Promise<void> {
    for (let tries = 1; !this.#stopping.signal.aborted; tries += 1) {
      try {
        await this.#settle(batch, await this.#options.handle(batch));
        return;
      } catch (error) {
        const ownFault = !(error instanceof MillraceError && error.code === "unavailable");
        this.#logger.warn(
          { err: error, durable: this.#options.durable, messages: batch.length, tries },
          `could not handle ${batch.length} message(s) of ${this.#options.stream}: ${describeError(error)}`,
        );
        if (ownFault && batch.length > 1 && tries >= 2) {
          for (const message of batch) await this.#tryUntilSettled([message]);
          return;
        }
        if (ownFault && batch.length === 1 && tries >= MAX_TRIES) {
          await this.#settle(batch, reject(`given up after ${MAX_TRIES} tries: ${describeError(error)}`));
          return;
        }
        await delay(Math.min(50 * 2 ** tries, 2_000), undefined, { signal: this.#stopping.signal }).catch(
          () => undefined,
        );
      }
    }
    for (const message of batch) message.nak();
  }

  async #settle(batch: readonly JsMsg[], result: Outcome | readonly Outcome[]): Promise<void> {
    const { stream } = this.#options;
    if (!Array.isArray(result)) {
      const outcome = result as Outcome;
      await Promise.all(batch.map((message) => settle(this.#bus, stream, message, outcome)));
      return;
    }
    const outcomes = result as readonly Outcome[];
    if (outcomes.length !== batch.length) {
      throw new MillraceError(
        "internal",
        `a handler of ${stream} answered ${outcomes.length} outcomes for ${batch.length} messages`,
      );
    }
    await Promise.all(batch.map((message, index) => settle(this.#bus, stream, message, outcomes[index] as Outcome)));
  }
}

async function createConsumer(bus: Bus, options: ConsumerOptions, ackWaitMs: number): Promise<void> {
  const filter = effectiveFilter(options);
  const config: Partial<ConsumerConfig> & { durable_name: string } = {
    durable_name: options.durable,
    ...(filter === undefined ? {} : { filter_subject: filter }),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: Math.max(options.maxBatch * 4, 1_000),
    ...(options.startSequence === undefined
      ? { deliver_policy: DeliverPolicy.All }
      : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: options.startSequence }),
  };
  try {
    const info = await bus.manager.consumers.info(options.stream, options.durable);
    // One made with the filter that takes everything, before it was left out, goes on as it is.
    if (![filter, options.filter].includes(info.config.filter_subject || undefined))
      await bus.manager.consumers.delete(options.stream, options.durable);
    else return;
  } catch {
    // There is none yet.
  }
  try {
    await bus.manager.consumers.add(options.stream, config);
  } catch (cause) {
    throw new MillraceError(
      "failed_precondition",
      `Cannot consume ${options.filter} from ${options.stream}: ${describeError(cause)}; has the bus been provisioned?`,
      { cause },
    );
  }
}

/**
 * No filter where it would let everything through: nats-server 2.9 sometimes searches a block of the stream for each message that it
 * delivers through a filter, a millisecond of its time for each of some thousand messages. (Of 120,000 events, 8,000 took 8 s.) A
 * work queue keeps its filter: there, consumers' filters must not overlap.
 */
function effectiveFilter({ stream, filter }: ConsumerOptions): string | undefined {
  const definition = STREAMS.find(({ name }) => name === stream);
  const takesAll = definition?.subjects.length === 1 && definition.subjects[0] === filter;
  return takesAll && definition.retention === "limits" ? undefined : filter;
}
