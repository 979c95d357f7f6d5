import { MillraceError } from "@millrace/runtime";
import { MalformedMessage } from "./serviceDefinition.ts";

/** Requests that have come and are not taken yet; beyond it the caller is not read from. */
const MAX_WAITING = 16;

const END: IteratorResult<unknown> = { done: true, value: undefined };

/** A stream's requests for its handler, up to one that could not be decoded. Reads from the caller only while the handler takes them. */
export class RequestStream implements AsyncIterableIterator<unknown> {
  readonly #startRead: () => void;
  readonly #waiting: unknown[] = [];
  #taker: PromiseWithResolvers<IteratorResult<unknown>> | undefined;
  #isReading = false;
  #ended: { readonly error?: MillraceError } | undefined;

  constructor(startRead: () => void) {
    this.#startRead = startRead;
  }

  push(request: unknown): void {
    this.#isReading = false;
    if (this.#ended !== undefined) return;
    if (request instanceof MalformedMessage) this.end(request.error);
    else if (this.#taker === undefined) this.#waiting.push(request);
    else {
      this.#taker.resolve({ done: false, value: request });
      this.#taker = undefined;
    }
    this.#read();
  }

  /** After the requests that wait there are no more. */
  end(error?: MillraceError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error === undefined ? {} : { error };
    const taker = this.#taker;
    if (taker === undefined) return;
    this.#taker = undefined;
    if (error === undefined) taker.resolve(END);
    else taker.reject(error);
  }

  /** Nobody wants answers any more. */
  abandon(): void {
    this.#waiting.length = 0;
    this.end(new MillraceError("cancelled", "the caller has gone"));
  }

  /** One at a time. */
  next(): Promise<IteratorResult<unknown>> {
    if (this.#waiting.length > 0) {
      const value = this.#waiting.shift();
      this.#read();
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended === undefined) {
      const taker = Promise.withResolvers<IteratorResult<unknown>>();
      this.#taker = taker;
      // May bring one at once.
      this.#read();
      return taker.promise;
    }
    const { error } = this.#ended;
    return error === undefined ? Promise.resolve(END) : Promise.reject(error);
  }

  /** The end of the handler's interest in requests is not the end of its answers. */
  return(): Promise<IteratorResult<unknown>> {
    this.#waiting.length = 0;
    this.#ended ??= {};
    return Promise.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #read(): void {
    if (this.#isReading || this.#ended !== undefined || this.#waiting.length >= MAX_WAITING) return;
    this.#isReading = true;
    this.#startRead();
  }
}
