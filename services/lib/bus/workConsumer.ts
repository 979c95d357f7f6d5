import { describeError, MillraceError } from "@millrace/runtime";
import { AckPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Bus } from "./connection.ts";

export interface WorkConsumerOptions {
  readonly stream: string;
  readonly durable: string;
  readonly filter: string;
  /** Whoever took a message and is silent for so long has lost it to another. */
  readonly silenceMs: number;
  /** So often a message is given to somebody. */
  readonly maxDeliveries: number;
}

/**
 * Makes a durable consumer from which others pull, who then need no right to make one. One that exists is brought up to date.
 *
 * @throws `unavailable` when the bus is away
 */
export async function makeWorkConsumer(bus: Bus, options: WorkConsumerOptions): Promise<void> {
  const { stream, durable, filter, silenceMs, maxDeliveries } = options;
  try {
    await bus.manager.consumers.add(stream, {
      durable_name: durable,
      filter_subject: filter,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(silenceMs),
      max_deliver: maxDeliveries,
    });
  } catch (cause) {
    throw new MillraceError(
      "unavailable",
      `The consumer ${durable} of ${stream} was not made: ${describeError(cause)}`,
      { cause },
    );
  }
}
