import { once } from "node:events";
import type { DescMethod } from "@bufbuild/protobuf";
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerWritableStream,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { MillraceError } from "@millrace/runtime";
import type { Call } from "./implementation.ts";
import { toStatus } from "./status.ts";

type AnyHandler = (request: never, call: Call) => unknown;
export type OnInternalError = (method: string, error: unknown) => void;

/** Turns a typed handler into what grpc-js calls. */
export function serverHandler(
  method: DescMethod,
  handler: AnyHandler,
  onInternalError: OnInternalError,
): UntypedHandleCall {
  const fail = (error: unknown): ReturnType<typeof toStatus> => {
    if (!(error instanceof MillraceError) || error.code === "internal")
      onInternalError(`${method.parent.typeName}/${method.name}`, error);
    return toStatus(error);
  };
  switch (method.methodKind) {
    case "unary":
      return unary(handler as never, fail);
    case "server_streaming":
      return serverStreaming(handler as never, fail);
    case "bidi_streaming":
      return bidiStreaming(handler as never, fail);
    default:
      throw new MillraceError("unimplemented", `${method.name}: client streaming calls are not supported`);
  }
}

type Fail = (error: unknown) => ReturnType<typeof toStatus>;

function unary(
  handler: (request: unknown, call: Call) => Promise<unknown>,
  fail: Fail,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    let answer: Promise<unknown>;
    const known = new ServerCall(call);
    try {
      answer = handler(call.request, known);
    } catch (error) {
      callback(fail(error));
      return;
    }
    answer.then(
      (response) => {
        known.answered = true;
        callback(null, response);
      },
      (error: unknown) => {
        known.answered = true;
        callback(fail(error));
      },
    );
  };
}

function serverStreaming(
  handler: (request: unknown, call: Call) => AsyncIterable<unknown>,
  fail: Fail,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    void writeAll(call, () => handler(call.request, new ServerCall(call)), fail);
  };
}

function bidiStreaming(
  handler: (requests: AsyncIterable<unknown>, call: Call) => AsyncIterable<unknown>,
  fail: Fail,
): handleBidiStreamingCall<unknown, unknown> {
  return (call) => {
    // The end of the requests, or of the handler's interest in them, is not the end of the answers.
    const requests = call.iterator({ destroyOnReturn: false });
    void writeAll(call, () => handler(requests, new ServerCall(call)), fail);
  };
}

/** Writes as fast as the caller reads. */
async function writeAll(
  call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>,
  answers: () => AsyncIterable<unknown>,
  fail: Fail,
): Promise<void> {
  const gone = new Promise<void>((resolve) => call.once("cancelled", resolve));
  try {
    for await (const answer of answers()) {
      if (call.cancelled) return;
      if (!call.write(answer)) await Promise.race([once(call, "drain"), gone]);
    }
    call.end();
  } catch (error) {
    if (!call.cancelled) call.emit("error", fail(error));
  }
}

interface ServerSurface {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  once(event: "cancelled", listener: () => void): unknown;
}

class ServerCall implements Call {
  readonly #call: ServerSurface;
  /** grpc-js reports the end of every call as a cancellation; after the answer nobody has to be told. */
  answered = false;
  #controller: AbortController | undefined;

  constructor(call: ServerSurface) {
    this.#call = call;
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }

  get deadlineMs(): number {
    const deadline = this.#call.getDeadline();
    return typeof deadline === "number" ? deadline : deadline.getTime();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#call.cancelled) controller.abort();
      else {
        this.#call.once("cancelled", () => {
          if (!this.answered) controller.abort();
        });
      }
    }
    return this.#controller.signal;
  }
}
