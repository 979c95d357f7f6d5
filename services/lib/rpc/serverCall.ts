import { type Metadata, type ServerInterceptingCallInterface, status } from "@grpc/grpc-js";
import { CallDeparture } from "./departure.ts";
import type { Call } from "./implementation.ts";
import type { ServedMethod } from "./serverHandler.ts";
import { ServerSpan } from "./serverSpan.ts";
import type { RpcStatus } from "./status.ts";

const OK: RpcStatus = { code: status.OK, details: "OK" };
const CANCELLED: RpcStatus = { code: status.CANCELLED, details: "the caller has gone" };
const LATE: RpcStatus = { code: status.DEADLINE_EXCEEDED, details: "Deadline exceeded" };

/** Answers of one call that the connection has not taken yet; one more is not sent beyond it. */
const MAX_UNSENT_BYTES = 64 << 10;
/** Before each message. */
const PREFIX_BYTES = 5;

/** A call as its handler knows it, and as grpc-js tells about it. */
export abstract class ServerCall implements Call {
  readonly departure = new CallDeparture();
  metadata!: Metadata;
  protected readonly method: ServedMethod;
  protected readonly surface: ServerInterceptingCallInterface;
  #span: ServerSpan | undefined;
  #controller: AbortController | undefined;
  #isOver = false;
  #unsentBytes = 0;
  #onRoom: (() => void) | undefined;

  constructor(method: ServedMethod, surface: ServerInterceptingCallInterface) {
    this.method = method;
    this.surface = surface;
  }

  get deadlineMs(): number {
    const deadline = this.surface.getDeadline();
    return typeof deadline === "number" ? deadline : deadline.getTime();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.departure.aborted) controller.abort();
      else this.departure.addEventListener("abort", () => controller.abort());
    }
    return this.#controller.signal;
  }

  /** Answered, or nobody waits for an answer. */
  get isOver(): boolean {
    return this.#isOver;
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.metadata = metadata;
    this.#span = ServerSpan.start(this.method.desc, metadata);
    this.begun();
  }

  /** The caller has sent the headers. */
  protected abstract begun(): void;
  abstract onReceiveMessage(message: unknown): void;
  abstract onReceiveHalfClose(): void;

  /** Comes after every call's end, too. grpc-js has then told a caller whose deadline has passed. */
  onCancel(): void {
    if (this.#isOver) return;
    this.#over(Date.now() < this.deadlineMs ? CANCELLED : LATE);
    this.departure.abort();
  }

  /** In the call's place in its trace. */
  protected run<Result>(work: () => Result): Result {
    return this.#span === undefined ? work() : this.#span.run(work);
  }

  protected send(answer: unknown): void {
    const bytes = this.method.encode(answer);
    const length = PREFIX_BYTES + bytes.length;
    this.#unsentBytes += length;
    this.surface.sendMessage(bytes, () => {
      this.#unsentBytes -= length;
      if (this.#unsentBytes < MAX_UNSENT_BYTES) this.#onRoom?.();
    });
  }

  /** As fast as the caller reads. Answers that follow each other without a pause go out in one write. Never fails. */
  protected async sendAll(answers: () => AsyncIterable<unknown>): Promise<void> {
    try {
      for await (const answer of answers()) {
        if (this.#isOver) return;
        this.send(answer);
        if (this.#unsentBytes >= MAX_UNSENT_BYTES) await this.#room();
      }
      this.end();
    } catch (error) {
      this.fail(error);
    }
  }

  /** The outcome goes out with the last answer, in the same write. */
  protected end(outcome = OK): void {
    if (this.#isOver) return;
    this.#over(outcome);
    this.surface.sendStatus(outcome);
  }

  protected fail(error: unknown): void {
    if (!this.#isOver) this.end(this.method.failed(error));
  }

  /** Resolves when the caller has read enough of what was sent, or has gone. */
  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  #over(outcome: RpcStatus): void {
    this.#isOver = true;
    this.#span?.end(outcome);
    this.#onRoom?.();
  }
}
