import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, relative } from "node:path";
import type { BusConfig } from "@millrace/bus";
import { MillraceError } from "@millrace/runtime";
import { Home } from "./home.ts";
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
    /** Takes jobs for trainers outside of Millrace, and brings their models. */
    readonly trainer: BusConfig;
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

/**
 * Lets another folder's `endpoints.json` lead to this system, as long as it runs: the demonstration has a folder of its own, and people
 * look in `.millrace`. A system that runs in the other folder keeps its own.
 */
export function linkEndpoints(from: Home, to: Home): Disposable {
  const target = relative(dirname(from.endpointsFile), to.endpointsFile);
  if (instanceOwner(from.lockFile) !== undefined) return { [Symbol.dispose]: () => undefined };
  rmSync(from.endpointsFile, { force: true });
  symlinkSync(target, from.endpointsFile);
  return {
    [Symbol.dispose]: () => {
      const link = lstatSync(from.endpointsFile, { throwIfNoEntry: false });
      if (link?.isSymbolicLink() && readlinkSync(from.endpointsFile) === target) rmSync(from.endpointsFile);
    },
  };
}

/** @throws `failed_precondition` when no system runs on that folder. */
export function readEndpoints(home: Home): Endpoints {
  if (!existsSync(home.endpointsFile) || instanceOwner(lockBeside(home.endpointsFile)) === undefined) {
    throw new MillraceError(
      "failed_precondition",
      `Millrace is not running on ${home.path}; start it with: npm run up`,
    );
  }
  return JSON.parse(readFileSync(home.endpointsFile, "utf8")) as Endpoints;
}

/** The lock of the system that wrote the file, wherever a link leads. */
const lockBeside = (endpointsFile: string): string => new Home(dirname(realpathSync(endpointsFile))).lockFile;
