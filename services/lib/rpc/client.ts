import { once } from "node:events";
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { methodDefinition, serviceDefinition } from "./serviceDefinition.ts";
import { fromStatus } from "./status.ts";

export interface CallOptions {
  /** The call fails with `deadline_exceeded` after this long. Default: none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly metadata?: Readonly<Record<string, string>>;
}

type ClientMethod<Method> =
  Method extends DescMethodUnary<infer Input extends DescMessage, infer Output extends DescMessage>
    ? (request: MessageInitShape<Input>, options?: CallOptions) => Promise<MessageShape<Output>>
    : Method extends DescMethodServerStreaming<infer Input extends DescMessage, infer Output extends DescMessage>
      ? (request: MessageInitShape<Input>, options?: CallOptions) => AsyncIterable<MessageShape<Output>>
      : Method extends DescMethodBiDiStreaming<infer Input extends DescMessage, infer Output extends DescMessage>
        ? (
            requests: AsyncIterable<MessageInitShape<Input>>,
            options?: CallOptions,
          ) => AsyncIterable<MessageShape<Output>>
        : never;

/** A service's calls, typed from its descriptor. Failures are MillraceErrors. */
export type RpcClient<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: ClientMethod<Service["method"][Name]>;
} & Disposable;

export interface RpcClientOptions {
  /** Largest answer taken. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /** A connection of its own, instead of one shared with other clients of the same address in this process. */
  readonly ownConnection?: boolean;
}

/** Makes a client; it connects at the first call and reconnects by itself. */
export function connectRpc<Service extends DescService>(
  service: Service,
  address: string,
  options: RpcClientOptions = {},
): RpcClient<Service> {
  const channel = openChannel(address, options);
  const definitions = serviceDefinition(service);
  const calls: Record<string | symbol, unknown> = { [Symbol.dispose]: () => channel.close() };
  for (const method of service.methods) {
    const definition = definitions[method.localName] as (typeof definitions)[string];
    calls[method.localName] = callOf(method.methodKind)(channel, method, definition);
  }
  return calls as RpcClient<Service>;
}

function callOf(kind: DescMethod["methodKind"]): typeof unary | typeof serverStreaming | typeof bidiStreaming {
  if (kind === "unary") return unary;
  return kind === "bidi_streaming" ? bidiStreaming : serverStreaming;
}

/** A server-streaming call whose answers are handed over as they came, encoded. */
export type ByteStream<Input extends DescMessage> = {
  call(request: MessageInitShape<Input>, options?: CallOptions): AsyncIterable<Uint8Array>;
} & Disposable;

/** For a caller that can read a stream's answers faster than by decoding each of them whole. */
export function connectByteStream<Input extends DescMessage>(
  method: DescMethodServerStreaming<Input>,
  address: string,
  options: RpcClientOptions = {},
): ByteStream<Input> {
  const channel = openChannel(address, options);
  const definition = { ...methodDefinition(method), responseDeserialize: (bytes: Buffer) => bytes as never };
  const call = serverStreaming(channel, method, definition) as ByteStream<Input>["call"];
  return { call, [Symbol.dispose]: () => channel.close() };
}

function openChannel(address: string, { maxMessageBytes = 64 << 20, ownConnection = false }: RpcClientOptions): Client {
  return new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.use_local_subchannel_pool": ownConnection ? 1 : 0,
    // A service that is being restarted is back within a second or two.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
  });
}

type Definition = ReturnType<typeof serviceDefinition>[string];

function unary(channel: Client, method: DescMethod, definition: Definition) {
  return (init: never, options: CallOptions = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const call = channel.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        create(method.input, init),
        metadataOf(options),
        grpcOptions(options),
        (error: ServiceError | null, response?: unknown) => {
          if (error === null) resolve(response);
          else reject(fromStatus(error));
        },
      );
      options.signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
}

function serverStreaming(channel: Client, method: DescMethod, definition: Definition) {
  return async function* (init: never, options: CallOptions = {}): AsyncGenerator {
    const call = channel.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      create(method.input, init),
      metadataOf(options),
      grpcOptions(options),
    );
    yield* answersOf(call, options.signal);
  };
}

/** Sends as fast as the server reads. When the requests fail, the call is cancelled and the failure thrown. */
function bidiStreaming(channel: Client, method: DescMethod, definition: Definition) {
  return async function* (requests: AsyncIterable<never>, options: CallOptions = {}): AsyncGenerator {
    const call = channel.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      metadataOf(options),
      grpcOptions(options),
    );
    const over = new AbortController();
    let failure: { readonly error: unknown } | undefined;
    const sending = sendAll(call, method, requests, over.signal).catch((error: unknown) => {
      failure = { error };
      call.cancel();
    });
    try {
      yield* answersOf(call, options.signal);
      if (failure !== undefined) throw failure.error;
    } catch (error) {
      throw failure === undefined ? error : failure.error;
    } finally {
      over.abort();
      // Not awaited: the requests may never say another word.
      void sending;
    }
  };
}

async function sendAll(
  call: ClientDuplexStream<object, object>,
  method: DescMethod,
  requests: AsyncIterable<never>,
  over: AbortSignal,
): Promise<void> {
  for await (const request of requests) {
    if (over.aborted) return;
    if (!call.write(create(method.input, request))) await once(call, "drain", { signal: over });
  }
  call.end();
}

async function* answersOf(
  call: ClientReadableStream<object> | ClientDuplexStream<object, object>,
  signal: AbortSignal | undefined,
): AsyncGenerator {
  const cancel = (): void => call.cancel();
  if (signal?.aborted === true) cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const response of call) yield response;
  } catch (error) {
    throw typeof (error as ServiceError).code === "number" ? fromStatus(error as ServiceError) : error;
  } finally {
    signal?.removeEventListener("abort", cancel);
    call.cancel();
  }
}

function metadataOf(options: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return metadata;
}

function grpcOptions({ timeoutMs }: CallOptions): GrpcCallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
