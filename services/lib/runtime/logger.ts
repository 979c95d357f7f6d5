import { isSpanContextValid, trace } from "@opentelemetry/api";
import pino from "pino";

export type Logger = pino.Logger;

/** A JSON logger that writes the active span's ids with every line, so that a log leads to its trace. */
export function createLogger(name: string, level = process.env["LOG_LEVEL"] || "info"): Logger {
  return pino({
    name,
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: traceIds,
  });
}

/** A logger that says nothing, for tests and tools. */
export const silentLogger: Logger = pino({ level: "silent" });

function traceIds(): Record<string, string> {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || !isSpanContextValid(context)) return {};
  return { trace_id: context.traceId, span_id: context.spanId };
}
