import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { DATABASE_SERVICES, type DatabaseService } from "@millrace/provision";
import { ROOT } from "./home.ts";
import type { NatsUser } from "./natsUsers.ts";

/** The six services, in the order of the data's way: started in this order, stopped in reverse. */
export const SERVICES = ["ingestion", "feature", "training", "inference-gateway", "feedback", "monitor"] as const;

export type ServiceName = (typeof SERVICES)[number] & NatsUser;

/** Where a service listens. */
export interface ServicePorts {
  readonly http: number;
  readonly grpc: number;
}

export interface ServiceSurroundings {
  readonly ports: Readonly<Record<ServiceName, ServicePorts>>;
  readonly nats: (user: NatsUser) => { url: string; user?: string | undefined; password?: string | undefined };
  readonly databaseUrls: Readonly<Record<DatabaseService, string>>;
  /** More settings for every service, such as OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export const serviceMain = (name: ServiceName): string => join(ROOT, "services", name, "main.ts");

/**
 * The gateway's young generation, in MiB: with Node.js's own 16, objects of calls under way are copied again and again. With 64 a call of
 * ModelInfer took 87 µs of processor time instead of 106 (bench `unary`, one run each). It costs some 100 MiB of memory.
 */
const GATEWAY_ARGUMENTS = ["--max-semi-space-size=64"];

/** Node's arguments for a service; telemetry has to be loaded before anything else. */
export const serviceArguments = (name: ServiceName): readonly string[] => [
  ...(name === "inference-gateway" ? GATEWAY_ARGUMENTS : []),
  "--disable-warning=ExperimentalWarning",
  "--import",
  pathToFileURL(join(ROOT, "services", "lib", "runtime", "telemetry.ts")).href,
  serviceMain(name),
];

export const grpcAddress = ({ grpc }: ServicePorts): string => `127.0.0.1:${grpc}`;

/** A service's settings: its own rights on the bus, its own schema in the database, and whom it calls. */
export function serviceEnvironment(
  name: ServiceName,
  { ports, nats, databaseUrls, environment }: ServiceSurroundings,
): Record<string, string | undefined> {
  const bus = nats(name);
  const keepsRows = (DATABASE_SERVICES as readonly string[]).includes(name);
  return {
    ...environment,
    NATS_URL: bus.url,
    NATS_USER: bus.user,
    NATS_PASSWORD: bus.password,
    DATABASE_URL: keepsRows ? databaseUrls[name as DatabaseService] : undefined,
    MILLRACE_HTTP_HOST: "127.0.0.1",
    MILLRACE_HTTP_PORT: String(ports[name].http),
    MILLRACE_GRPC_ADDRESS: grpcAddress(ports[name]),
    EVENT_LOG_ADDRESS: name === "feature" ? grpcAddress(ports.ingestion) : undefined,
    DATASET_ADDRESS: name === "training" ? grpcAddress(ports.feature) : undefined,
    MILLRACE_PARENT: "stdin",
    OTEL_SERVICE_NAME: name,
  };
}
