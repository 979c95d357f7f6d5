import { describeError, MillraceError } from "@millrace/runtime";
import type { PubAck } from "@nats-io/jetstream";
import { createInbox, type MsgHdrs, headers as makeHeaders, type NatsConnection } from "@nats-io/transport-node";
import type { Traceparent } from "./trace.ts";

interface Pending {
  readonly resolve: (ack: PubAck) => void;
  readonly reject: (error: MillraceError) => void;
  readonly subject: string;
  /** Milliseconds of `performance.now()`. */
  readonly until: number;
}

interface Outgoing {
  readonly token: string;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs;
}

/** Acknowledgements that did not come are looked for so often. */
const LOOK_MS = 250;

/**
 * Publishes messages to streams with many on their way at once, each with a promise of its own. One subscription takes all
 * acknowledgements and one timer finds those that never come: a request of the client's own costs twice as much. What is published in
 * one turn of the event loop goes out in one write to the socket: a write costs more than a message.
 */
export class PipelinedPublisher implements Disposable {
  readonly #connection: NatsConnection;
  readonly #timeoutMs: number;
  readonly #inbox: string;
  readonly #stop: () => void;
  /** By the last token of the subject that the answer comes to; oldest first. */
  readonly #pending = new Map<string, Pending>();
  #outgoing: Outgoing[] = [];
  #count = 0;

  /**
   * @param inboxPrefix of the subjects on which the connection may get answers
   * @param timeoutMs that each message waits for its acknowledgement
   */
  constructor(connection: NatsConnection, inboxPrefix: string | undefined, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#inbox = createInbox(inboxPrefix);
    const subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#settle(message.subject.slice(this.#inbox.length + 1), message.data);
      },
    });
    const timer = setInterval(() => this.#expire(), LOOK_MS).unref();
    this.#stop = () => {
      clearInterval(timer);
      subscription.unsubscribe();
    };
  }

  /**
   * Publishes a message and waits until the stream has stored it.
   *
   * @param id a second message with it, within the broker's window, is acknowledged as a duplicate and not stored
   * @throws `unavailable` when the stream refuses it or does not confirm in time; it may have been stored all the same.
   */
  publish(subject: string, data: Uint8Array, id: string, traceparent: Traceparent): Promise<PubAck> {
    const headers = makeHeaders();
    headers.set("Nats-Msg-Id", id);
    if (traceparent !== "") headers.set("traceparent", traceparent);
    this.#count += 1;
    const token = this.#count.toString(36);
    return new Promise((resolve, reject) => {
      this.#pending.set(token, { resolve, reject, subject, until: performance.now() + this.#timeoutMs });
      if (this.#outgoing.length === 0) setImmediate(() => this.#send());
      this.#outgoing.push({ token, subject, data, headers });
    });
  }

  /** Nobody's acknowledgement is taken any more. */
  [Symbol.dispose](): void {
    this.#send();
    this.#stop();
    for (const { reject, subject } of this.#pending.values()) reject(unconfirmed(subject, "the publisher was closed"));
    this.#pending.clear();
  }

  /** The client itself writes what it is given at once in one piece. */
  #send(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    for (const { token, subject, data, headers } of outgoing) {
      try {
        this.#connection.publish(subject, data, { reply: `${this.#inbox}.${token}`, headers });
      } catch (error) {
        this.#pending.get(token)?.reject(unconfirmed(subject, describeError(error)));
        this.#pending.delete(token);
      }
    }
  }

  /** @param answer JSON; nothing when no stream takes the subject */
  #settle(token: string, answer: Uint8Array): void {
    const pending = this.#pending.get(token);
    if (pending === undefined) return;
    this.#pending.delete(token);
    const { resolve, reject, subject } = pending;
    if (answer.length === 0) {
      reject(unconfirmed(subject, "no stream takes its subject"));
      return;
    }
    const text = Buffer.from(answer.buffer, answer.byteOffset, answer.length).toString();
    const ack = JSON.parse(text) as Partial<PubAck> & { readonly error?: { readonly description: string } };
    const { stream = "", seq = 0, duplicate = false, error } = ack;
    if (error === undefined) resolve({ stream, seq, duplicate });
    else reject(unconfirmed(subject, error.description));
  }

  #expire(): void {
    const now = performance.now();
    for (const [token, { reject, subject, until }] of this.#pending) {
      if (until > now) return;
      this.#pending.delete(token);
      reject(unconfirmed(subject, `no acknowledgement in ${this.#timeoutMs} ms`));
    }
  }
}

const unconfirmed = (subject: string, why: string): MillraceError =>
  new MillraceError("unavailable", `NATS did not confirm a message on ${subject}: ${why}`);
