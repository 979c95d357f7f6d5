import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BusConfig } from "@millrace/bus";

const HOME = process.env["MILLRACE_HOME"] || join(import.meta.dirname, "..", "..", "..", "..", ".millrace");

/** The gateway's gRPC address: `GATEWAY_ADDRESS`, else that of the system that `npm run up` started. */
export const gatewayAddress = (): string => process.env["GATEWAY_ADDRESS"] || local().grpc["inference-gateway"];

/** NATS, as the user `producer`: `NATS_URL` and `NATS_PASSWORD`, else those of the system that `npm run up` started. */
export function producerBus(): BusConfig {
  const url = process.env["NATS_URL"];
  return url ? { url, user: "producer", password: process.env["NATS_PASSWORD"] } : local().nats.producer;
}

function local(): { grpc: { "inference-gateway": string }; nats: { producer: BusConfig } } {
  return JSON.parse(readFileSync(join(HOME, "endpoints.json"), "utf8"));
}
