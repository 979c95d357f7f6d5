import { readOptions, readPort, runCommand, say } from "./commandLine.ts";
import { type Platform, startPlatform } from "./platform.ts";
import { requested, stopRequest } from "./stopRequest.ts";

const HELP = `Usage: npm run up [-- options]

Starts NATS, PostgreSQL and the six services on this machine, and keeps them running until Ctrl-C.
What they store stays in .millrace for the next start.

  --gateway-port <port>   gRPC port of the inference gateway   (default: a free one)
  --nats-port <port>      port of NATS                         (default: a free one)
  --postgres-port <port>  port of PostgreSQL                   (default: a free one)
  --fresh                 begin with nothing stored
  --help                  this text

Environment: NATS_URL and DATABASE_URL use servers that exist; MILLRACE_HOME is another folder than .millrace;
OTEL_EXPORTER_OTLP_ENDPOINT sends traces and metrics to a collector.
`;

await runCommand(async () => {
  const { values } = readOptions({
    options: {
      "gateway-port": { type: "string" },
      "nats-port": { type: "string" },
      "postgres-port": { type: "string" },
      fresh: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const stopping = stopRequest();
  const ports = {
    gateway: readPort("gateway-port", values["gateway-port"]),
    nats: readPort("nats-port", values["nats-port"]),
    postgres: readPort("postgres-port", values["postgres-port"]),
  };
  await using platform = await startPlatform({ say, ports, fresh: values.fresh, signal: stopping });
  console.log(describe(platform));
  const failure = await Promise.race([platform.failed, requested(stopping)]);
  if (failure !== undefined) say(`${failure}; stopping the rest`);
  else say("stopping; once more Ctrl-C to stop at once");
  return failure === undefined ? 0 : 1;
});

function describe({ endpoints, home }: Platform): string {
  return `
Millrace is running.

  NATS         ${endpoints.nats.url}
  gRPC         ${endpoints.grpc["inference-gateway"]}   (millrace.prediction.v1.PredictionService)
  PostgreSQL   ${new URL(endpoints.database.url).host}
  addresses, users and passwords   ${home.endpointsFile}
  logs                             ${endpoints.logs}

Next: npm run millrace -- apply path/to/app.yaml
      npm run millrace -- status
Ctrl-C stops it.
`;
}
