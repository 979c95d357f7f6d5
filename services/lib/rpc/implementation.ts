import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Metadata } from "@grpc/grpc-js";
import type { Departure } from "./departure.ts";
import type { Encoded } from "./encoded.ts";

/** What a handler may know about its call. */
export interface Call {
  /** Told when the caller has gone or its deadline has passed. */
  readonly departure: Departure;
  /** The same for what wants an AbortSignal. Made when first asked for. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch; Infinity when the caller set none. */
  readonly deadlineMs: number;
  readonly metadata: Metadata;
}

/** A handler's answer. */
export type Answer<Output extends DescMessage> = MessageShape<Output> | Encoded<Output>;

/** A handler for one method: a promise for a unary call, an async iterable for a streaming answer. */
export type Handler<Method> =
  Method extends DescMethodUnary<infer Input extends DescMessage, infer Output extends DescMessage>
    ? (request: MessageShape<Input>, call: Call) => Promise<Answer<Output>>
    : Method extends DescMethodServerStreaming<infer Input extends DescMessage, infer Output extends DescMessage>
      ? (request: MessageShape<Input>, call: Call) => AsyncIterable<Answer<Output>>
      : Method extends DescMethodBiDiStreaming<infer Input extends DescMessage, infer Output extends DescMessage>
        ? (requests: AsyncIterable<MessageShape<Input>>, call: Call) => AsyncIterable<Answer<Output>>
        : never;

/** All methods of a service, typed from its descriptor. A method left out answers UNIMPLEMENTED. */
export type Implementation<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]?: Handler<Service["method"][Name]>;
};

export interface ImplementedService {
  readonly service: DescService;
  readonly handlers: Readonly<Record<string, unknown>>;
}

/** Pairs a service with its handlers. */
export function implement<Service extends DescService>(
  service: Service,
  implementation: Implementation<Service>,
): ImplementedService {
  return { service, handlers: implementation };
}
