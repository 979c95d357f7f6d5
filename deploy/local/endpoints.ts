import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { BusConfig } from "@millrace/bus";
import { MillraceError } from "@millrace/runtime";
import type { Home } from "./home.ts";
import { instanceOwner } from "./instanceLock.ts";
import type { ServiceName } from "./services.ts";

/** Where to reach a running local system; holds passwords, so only its owner may read the file. */
export interface Endpoints {
  readonly nats: {
    readonly url: string;
    /** Publishes events. */
    readonly producer: BusConfig;
    /** Follows predictions, outcomes, models and alerts. */
    readonly application: BusConfig;
    /** May do everything: `millrace apply`, provisioning. */
    readonly admin: BusConfig;
  };
  /** gRPC addresses, `127.0.0.1:50051`. */
  readonly grpc: Readonly<Partial<Record<ServiceName, string>>>;
  /** `/livez` and `/readyz` are under these. */
  readonly health: Readonly<Partial<Record<ServiceName, string>>>;
  /** The administrator's connection URL. */
  readonly database: { readonly url: string };
  readonly logs: string;
}

export function writeEndpoints(home: Home, endpoints: Endpoints): void {
  rmSync(home.endpointsFile, { force: true });
  writeFileSync(home.endpointsFile, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 });
}

export const removeEndpoints = (home: Home): void => rmSync(home.endpointsFile, { force: true });

/** @throws `failed_precondition` when no system runs on that folder. */
export function readEndpoints(home: Home): Endpoints {
  if (!existsSync(home.endpointsFile) || instanceOwner(home.lockFile) === undefined) {
    throw new MillraceError(
      "failed_precondition",
      `Millrace is not running on ${home.path}; start it with: npm run up`,
    );
  }
  return JSON.parse(readFileSync(home.endpointsFile, "utf8")) as Endpoints;
}
