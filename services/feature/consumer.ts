import type { Bus, JsMsg } from "@millrace/bus";
import { MillraceError } from "@millrace/runtime";
import type { ConsumerMessages } from "@nats-io/jetstream";
import { DeliverPolicy } from "@nats-io/jetstream";

export interface AcceptedConsumerOptions {
  readonly app: string;
  /** The first sequence of the stream that is wanted. */
  readonly fromSequence: number;
  /** Called for each message in stream order; while it runs, no more are taken. */
  readonly onMessage: (message: JsMsg) => void;
  /** Called when the consumer ends although nobody stopped it. */
  readonly onFailure: (error: unknown) => void;
}

/** Messages asked for ahead; a message may hold several hundred KiB. */
const AHEAD = 64;

/**
 * Reads an app's accepted events in stream order from a place that the caller keeps: an ordered consumer, which finds gaps by
 * itself and needs no acknowledgements.
 */
export async function consumeAccepted(bus: Bus, options: AcceptedConsumerOptions): Promise<AsyncDisposable> {
  const consumer = await bus.jetstream.consumers.get("ACCEPTED", {
    filter_subjects: `accepted.${options.app}.>`,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: Math.max(1, options.fromSequence),
  });
  const messages: ConsumerMessages = await consumer.consume({ max_messages: AHEAD, callback: options.onMessage });
  let stopped = false;
  void messages.closed().then((error) => {
    if (stopped) return;
    const cause = error ?? new Error("the consumer was closed");
    options.onFailure(new MillraceError("unavailable", `ACCEPTED of ${options.app} is not read any more`, { cause }));
  });
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      await messages.close();
    },
  };
}
