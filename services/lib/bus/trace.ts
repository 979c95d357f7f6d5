import {
  type Context,
  context,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  TraceFlags,
  trace,
} from "@opentelemetry/api";

/**
 * W3C trace context as one string, `00-<trace id>-<span id>-<flags>` (https://www.w3.org/TR/trace-context/#traceparent-header).
 * Only sampled contexts travel: an unsampled one is the empty string, which costs nothing.
 */
export type Traceparent = string;

const PATTERN = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The traceparent of a span (default: the active one), or "" when it is not sampled. */
export function traceparentOf(span: Span | undefined = trace.getActiveSpan()): Traceparent {
  const spanContext = span?.spanContext();
  if (spanContext === undefined || !isSpanContextValid(spanContext)) return "";
  if ((spanContext.traceFlags & TraceFlags.SAMPLED) === 0) return "";
  return `00-${spanContext.traceId}-${spanContext.spanId}-01`;
}

/** The sampled span context that a traceparent names, or undefined when it names none. */
export function spanContextOf(traceparent: Traceparent | undefined): SpanContext | undefined {
  if (!traceparent) return undefined;
  const match = PATTERN.exec(traceparent);
  if (match === null) return undefined;
  const traceFlags = Number.parseInt(match[3] as string, 16);
  if ((traceFlags & TraceFlags.SAMPLED) === 0) return undefined;
  const spanContext = { traceId: match[1] as string, spanId: match[2] as string, traceFlags, isRemote: true };
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}

/** A context in which new spans continue the trace that a traceparent names; without one, the root context. */
export function contextOf(traceparent: Traceparent | undefined): Context {
  const spanContext = spanContextOf(traceparent);
  return spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
}

/** Links from a batch's span to the spans of its messages. At most 128, OpenTelemetry's own limit. */
export function linksTo(traceparents: Iterable<Traceparent | undefined>): Link[] {
  const links: Link[] = [];
  for (const traceparent of traceparents) {
    const spanContext = spanContextOf(traceparent);
    if (spanContext !== undefined) links.push({ context: spanContext });
    if (links.length === 128) break;
  }
  return links;
}

/** Runs `work` inside `parent`, so that spans and logs made in it belong to that trace. */
export function within<Result>(parent: Context, work: () => Result): Result {
  return context.with(parent, work);
}
