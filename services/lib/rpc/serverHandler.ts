import type { DescMethod } from "@bufbuild/protobuf";
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import { MillraceError } from "@millrace/runtime";
import type { Call, ImplementedService } from "./implementation.ts";
import { RequestStream } from "./requestStream.ts";
import { ServerCall } from "./serverCall.ts";
import { MalformedMessage, methodDefinition } from "./serviceDefinition.ts";
import { type RpcStatus, toStatus } from "./status.ts";

export type OnInternalError = (method: string, error: unknown) => void;

/** A method, with what answers it. */
export interface ServedMethod {
  readonly desc: DescMethod;
  readonly handler: (request: never, call: Call) => unknown;
  readonly encode: (answer: unknown) => Buffer;
  readonly failed: (error: unknown) => RpcStatus;
}

type Listener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/**
 * Answers the calls of these services where grpc-js lets interceptors see them: one step before it would put a stream of its own before
 * each call. Answers of a stream then need not wait for each other's write: an echo of 150 bytes took 6 to 8 µs of processor time a message
 * here, 12 to 21 with grpc-js's own streams, in turns on a busy machine.
 */
export function answerCalls(
  services: readonly ImplementedService[],
  onInternalError: OnInternalError,
): ServerInterceptor {
  const served = new Map<string, (call: ServerInterceptingCallInterface) => Listener>();
  for (const { service, handlers } of services) {
    for (const desc of service.methods) {
      const handler = handlers[desc.localName];
      if (handler === undefined) continue;
      const { path, responseSerialize } = methodDefinition(desc);
      const failed = (error: unknown): RpcStatus => {
        if (!(error instanceof MillraceError) || error.code === "internal") onInternalError(path.slice(1), error);
        return toStatus(error);
      };
      const Kind = callKind(desc);
      const method = { desc, handler: handler as never, encode: responseSerialize as never, failed };
      served.set(path, (call) => new Kind(method, call));
    }
  }
  return ({ path }, call) => {
    const listen = served.get(path);
    // Health and reflection are grpc-js's own.
    return new ServerInterceptingCall(call, listen && { start: () => call.start(listen(call)) });
  };
}

function callKind({ methodKind, name }: DescMethod) {
  switch (methodKind) {
    case "unary":
      return UnaryCall;
    case "server_streaming":
      return AnswerStreamCall;
    case "bidi_streaming":
      return StreamCall;
    default:
      throw new MillraceError("unimplemented", `${name}: client streaming calls are not supported`);
  }
}

const wrongNumber = (got: string): RpcStatus => ({
  code: status.UNIMPLEMENTED,
  details: `expected one request and then the end of the requests, got ${got}`,
});

/** A call with one request. */
abstract class OneRequestCall extends ServerCall {
  #request: unknown;

  protected begun(): void {
    this.surface.startRead();
  }

  onReceiveMessage(message: unknown): void {
    if (this.#request !== undefined) return this.end(wrongNumber("another request"));
    this.#request = message;
    this.surface.startRead();
  }

  onReceiveHalfClose(): void {
    if (this.isOver) return;
    const request = this.#request;
    if (request === undefined) this.end(wrongNumber("none"));
    else if (request instanceof MalformedMessage) this.fail(request.error);
    else this.run(() => this.answer(request));
  }

  /** Never fails. */
  protected abstract answer(request: unknown): void;
}

class UnaryCall extends OneRequestCall {
  protected answer(request: unknown): void {
    try {
      const answered = this.method.handler(request as never, this) as Promise<unknown>;
      answered.then(
        (answer) => this.#answered(answer),
        (error: unknown) => this.fail(error),
      );
    } catch (error) {
      this.fail(error);
    }
  }

  #answered(answer: unknown): void {
    if (this.isOver) return;
    try {
      this.send(answer);
      this.end();
    } catch (error) {
      this.fail(error);
    }
  }
}

class AnswerStreamCall extends OneRequestCall {
  protected answer(request: unknown): void {
    void this.sendAll(() => this.method.handler(request as never, this) as AsyncIterable<unknown>);
  }
}

class StreamCall extends ServerCall {
  readonly #requests = new RequestStream(() => this.surface.startRead());

  protected begun(): void {
    this.departure.addEventListener("abort", () => this.#requests.abandon());
    const answers = () => this.method.handler(this.#requests as never, this) as AsyncIterable<unknown>;
    this.run(() => void this.sendAll(answers));
  }

  onReceiveMessage(message: unknown): void {
    this.#requests.push(message);
  }

  onReceiveHalfClose(): void {
    this.#requests.end();
  }

  /** A stream that the caller resets looks at first as if the requests had ended, and may have been answered on that account. */
  override onCancel(): void {
    super.onCancel();
    this.departure.abort();
  }
}
