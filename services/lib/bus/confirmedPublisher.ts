import { MillraceError } from "@millrace/runtime";
import { createInbox, headers as makeHeaders, type NatsConnection } from "@nats-io/transport-node";

/**
 * Publishes messages to a stream without waiting for each: the acknowledgements come to one subscription, which counts them. A promise
 * and a timer for each message would cost several times as much.
 */
export class ConfirmedPublisher implements Disposable {
  readonly #connection: NatsConnection;
  readonly #inbox: string;
  readonly #stop: () => void;
  #round = 0;
  #sent = 0;
  #confirmed = 0;
  #refusal: string | undefined;
  #changed: (() => void) | undefined;

  /** @param inboxPrefix of the subjects on which the connection may get answers */
  constructor(connection: NatsConnection, inboxPrefix: string | undefined) {
    this.#connection = connection;
    this.#inbox = createInbox(inboxPrefix);
    const subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        // Others belong to an earlier round, for which nobody waits any more.
        if (error === null && message.subject === this.#replySubject) this.#note(message.data);
      },
    });
    this.#stop = () => subscription.unsubscribe();
  }

  /** Sends a message of this round. */
  publish(subject: string, data: Uint8Array, headers?: Readonly<Record<string, string>>): void {
    this.#sent += 1;
    const reply = this.#replySubject;
    if (headers === undefined) {
      this.#connection.publish(subject, data, { reply });
      return;
    }
    const made = makeHeaders();
    for (const [name, value] of Object.entries(headers)) made.set(name, value);
    this.#connection.publish(subject, data, { reply, headers: made });
  }

  /**
   * Waits until the stream has stored all messages of this round but `most`.
   *
   * @throws `unavailable` when one was refused, or the time is over: then nothing is certain about any of them. Begin another round.
   */
  async settled(timeoutMs: number, most = 0): Promise<void> {
    const late = AbortSignal.timeout(timeoutMs);
    while (this.#sent - this.#confirmed > most && this.#refusal === undefined && !late.aborted) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#changed = () => resolve(undefined);
      late.addEventListener("abort", this.#changed, { once: true });
      await promise;
      late.removeEventListener("abort", this.#changed);
    }
    if (this.#refusal !== undefined) throw new MillraceError("unavailable", `a message was refused: ${this.#refusal}`);
    const open = this.#sent - this.#confirmed;
    if (open <= most) return;
    throw new MillraceError(
      "unavailable",
      `${open} of ${this.#sent} messages were not acknowledged in ${timeoutMs} ms`,
    );
  }

  /** Begins the next round; acknowledgements of this one that are still to come count no more. */
  next(): void {
    this.#round += 1;
    this.#sent = 0;
    this.#confirmed = 0;
    this.#refusal = undefined;
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  get #replySubject(): string {
    return `${this.#inbox}.${this.#round}`;
  }

  /** @param acknowledgement JSON; nothing when no stream takes the subject */
  #note(acknowledgement: Uint8Array): void {
    this.#confirmed += 1;
    const text = Buffer.from(acknowledgement.buffer, acknowledgement.byteOffset, acknowledgement.length).toString(
      "latin1",
    );
    if (text === "") this.#refusal = "no stream takes its subject";
    else if (text.includes('"error"')) this.#refusal = text;
    this.#changed?.();
  }
}
