import { type Link, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";

const tracer = trace.getTracer("millrace.bus");

/** Runs `work` in a span that links to its messages' spans; without a sampled one there is nothing to follow, and no span. */
export function inBatchSpan<Result>(
  name: string,
  links: Link[],
  count: number,
  work: () => Promise<Result>,
): Promise<Result> {
  if (links.length === 0) return work();
  const options = { kind: SpanKind.CONSUMER, links, attributes: { "messaging.batch.message_count": count } };
  // It continues the first sampled message's trace, and links to all of them: one trace leads from a request to what came of it.
  const parent = trace.setSpanContext(ROOT_CONTEXT, (links[0] as Link).context);
  return tracer.startActiveSpan(name, options, parent, async (span) => {
    try {
      return await work();
    } catch (error) {
      span.recordException(error as Error);
      throw error;
    } finally {
      span.end();
    }
  });
}
