/**
 * Preload: `node --import @millrace/runtime/telemetry main.ts`. Starts OpenTelemetry when `OTEL_EXPORTER_OTLP_ENDPOINT` names a
 * collector, and does nothing, at no cost, when it does not. The usual OTEL_* variables apply; the sampler is parent-based,
 * its ratio `OTEL_TRACES_SAMPLER_ARG` (0.01 when not set).
 */
import { register } from "node:module";
import { pathToFileURL } from "node:url";

if (process.env["OTEL_EXPORTER_OTLP_ENDPOINT"]) {
  // ESM modules can only be instrumented through this hook, registered before they are loaded.
  register("@opentelemetry/instrumentation/hook.mjs", pathToFileURL(import.meta.filename));
  process.env["OTEL_TRACES_SAMPLER"] ||= "parentbased_traceidratio";
  process.env["OTEL_TRACES_SAMPLER_ARG"] ||= "0.01";
  process.env["OTEL_METRICS_EXPORTER"] ||= "otlp";
  process.env["OTEL_LOGS_EXPORTER"] ||= "none";
  const [{ NodeSDK }, { GrpcInstrumentation }, { PgInstrumentation }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/instrumentation-grpc"),
    import("@opentelemetry/instrumentation-pg"),
  ]);
  const sdk = new NodeSDK({
    instrumentations: [
      // Of clients: the calls that a server of ours answers have their spans from @millrace/rpc. The exporter itself may speak gRPC; and a
      // health check every second is not worth a span, nor is reflection.
      new GrpcInstrumentation({ ignoreGrpcMethods: [/^Check$/, /^Watch$/, /^ServerReflectionInfo$/, /^Export$/] }),
      new PgInstrumentation({ requireParentSpan: true }),
    ],
  });
  sdk.start();
  (globalThis as { millraceTelemetryShutdown?: () => Promise<void> }).millraceTelemetryShutdown = () => sdk.shutdown();
}
