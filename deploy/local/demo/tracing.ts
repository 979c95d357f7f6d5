/**
 * The replay's own spans: one for each event that it publishes and each prediction that it asks for, from which the services' spans
 * go on. Without OTEL_EXPORTER_OTLP_ENDPOINT they are nothing, at no cost.
 */
import { type Traceparent, traceparentOf } from "@millrace/bus";
import { flushTelemetry } from "@millrace/runtime";
import { type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

const tracer = trace.getTracer("flight-delays-replay");

/** Of the traces that begin here, when OTEL_TRACES_SAMPLER_ARG does not say: a replay makes thousands of requests a second. */
const SAMPLED_SHARE = "0.001";

/** Starts OpenTelemetry, when a collector is named, and stops it when disposed of. The services take over the settings. */
export async function startTracing(): Promise<AsyncDisposable> {
  process.env["OTEL_TRACES_SAMPLER_ARG"] ||= SAMPLED_SHARE;
  if (process.env["OTEL_EXPORTER_OTLP_ENDPOINT"]) {
    process.env["OTEL_SERVICE_NAME"] ||= "flight-delays-replay";
    await import("@millrace/runtime/telemetry");
  }
  return { [Symbol.asyncDispose]: flushTelemetry };
}

/** What goes on over the network, as the sender sees it. */
export class Sending {
  readonly #span: Span;
  /** For the receiver to go on from; "" when this one is not sampled. */
  readonly traceparent: Traceparent;

  constructor(name: string, kind: "event" | "call", id: string) {
    this.#span = tracer.startSpan(name, { kind: kind === "event" ? SpanKind.PRODUCER : SpanKind.CLIENT, root: true });
    this.traceparent = traceparentOf(this.#span);
    if (this.traceparent !== "") this.#span.setAttribute("millrace.id", id);
  }

  done(): void {
    this.#span.end();
  }

  failed(error: unknown): void {
    this.#span.recordException(error as Error);
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.end();
  }
}
