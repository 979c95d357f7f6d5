import type { DescMethod } from "@bufbuild/protobuf";
import { type Metadata, status } from "@grpc/grpc-js";
import {
  type Context,
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from "@opentelemetry/api";
import type { RpcStatus } from "./status.ts";

const tracer = trace.getTracer("millrace.rpc");
const SERVER = { kind: SpanKind.SERVER };

/** What a server has done wrong, by https://opentelemetry.io/docs/specs/semconv/rpc/grpc/; the other codes are the caller's doing. */
const SERVER_ERRORS: ReadonlySet<status> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

const HEADERS: TextMapGetter<Metadata> = {
  get: (metadata, name) => metadata.get(name).map(String),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

/**
 * A call's place in its trace. Most calls are not sampled: theirs is no more than the decision, which whatever they do inherits.
 * OpenTelemetry's instrumentation of the server gives every call attributes, wrappers and listeners.
 */
export class ServerSpan {
  readonly #span: Span;
  readonly #context: Context;

  private constructor(span: Span, caller: Context) {
    this.#span = span;
    this.#context = trace.setSpan(caller, span);
  }

  /** Undefined without telemetry. */
  static start({ parent: service, name }: DescMethod, metadata: Metadata): ServerSpan | undefined {
    const caller = propagation.extract(ROOT_CONTEXT, metadata, HEADERS);
    const span = tracer.startSpan(`${service.typeName}/${name}`, SERVER, caller);
    if (!isSpanContextValid(span.spanContext())) return undefined;
    if (span.isRecording()) {
      span.setAttributes({ "rpc.system": "grpc", "rpc.service": service.typeName, "rpc.method": name });
    }
    return new ServerSpan(span, caller);
  }

  /** Spans and log lines that are made in `work` belong to this one; where it is not sampled, neither are they. */
  run<Result>(work: () => Result): Result {
    return context.with(this.#context, work);
  }

  end({ code, details }: RpcStatus): void {
    if (!this.#span.isRecording()) return;
    this.#span.setAttribute("rpc.grpc.status_code", code);
    if (SERVER_ERRORS.has(code)) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: details });
    this.#span.end();
  }
}
