import { createServer } from "node:net";
import { type BusConfig, connectBus } from "@millrace/bus";
import { provisionDatabase, provisionNats } from "@millrace/provision";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { type Credentials, readOrMakeCredentials } from "./credentials.ts";
import { type Endpoints, removeEndpoints, writeEndpoints } from "./endpoints.ts";
import { freePort } from "./freePort.ts";
import { defaultHome, Home } from "./home.ts";
import { InstanceLock } from "./instanceLock.ts";
import { NatsServer } from "./natsServer.ts";
import { type NatsUser, passwordVariable } from "./natsUsers.ts";
import { PostgresServer } from "./postgresServer.ts";
import {
  grpcAddress,
  SERVICES,
  type ServiceName,
  type ServicePorts,
  serviceArguments,
  serviceEnvironment,
} from "./services.ts";
import { Supervisor } from "./supervisor.ts";

export interface PlatformOptions {
  /** Folder of data, logs, passwords, endpoints. Default: `MILLRACE_HOME`, else `.millrace`. */
  readonly home?: string;
  /** Which services to start. Default: all six. */
  readonly services?: readonly ServiceName[];
  /** Gets one line per step, and one when a service crashes. Default: silence. */
  readonly say?: (line: string) => void;
  /** Fixed ports; the others are free ones. */
  readonly ports?: { readonly nats?: number; readonly postgres?: number; readonly gateway?: number };
  /** More settings for the services. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** A NATS server that exists. Default: `NATS_URL`. */
  readonly natsUrl?: string | undefined;
  /** A database that exists, with a role that may create roles. Default: `DATABASE_URL`. */
  readonly databaseUrl?: string | undefined;
  /** Begin with nothing stored. Default: go on with what there is. */
  readonly fresh?: boolean;
  /** Gives up starting; what was started so far is stopped. */
  readonly signal?: AbortSignal;
  /** For tests: the database need not survive a power cut. */
  readonly fast?: boolean;
}

/** A running local system: NATS, PostgreSQL, the services. Stops in reverse order when disposed of. */
export class Platform implements AsyncDisposable {
  readonly home: Home;
  readonly endpoints: Endpoints;
  readonly supervisor: Supervisor;
  /** Resolves when a server has stopped by itself, with a sentence that says so. */
  readonly failed: Promise<string>;
  /** The processes of NATS and PostgreSQL, as far as they are ours. */
  readonly serverPids: readonly number[];
  readonly #natsConfig: (user: NatsUser) => BusConfig;
  readonly #stack: AsyncDisposableStack;

  /** @internal Use `startPlatform`. */
  constructor(
    parts: Pick<Platform, "home" | "endpoints" | "supervisor" | "failed" | "serverPids">,
    natsConfig: (user: NatsUser) => BusConfig,
    stack: AsyncDisposableStack,
  ) {
    this.home = parts.home;
    this.endpoints = parts.endpoints;
    this.supervisor = parts.supervisor;
    this.failed = parts.failed;
    this.serverPids = parts.serverPids;
    this.#natsConfig = natsConfig;
    this.#stack = stack;
  }

  /** How a user of NATS connects, with that user's rights. */
  nats(user: NatsUser): BusConfig {
    return this.#natsConfig(user);
  }

  /** The administrator's database URL. */
  get databaseUrl(): string {
    return this.endpoints.database.url;
  }

  /** A service's gRPC address. */
  grpc(name: ServiceName): string {
    const address = this.endpoints.grpc[name];
    if (address === undefined) throw new Error(`${name} was not started`);
    return address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/**
 * Starts a local system and waits until every service is ready.
 *
 * @throws `failed_precondition` or `unavailable` with one sentence: a port in use, no nats-server, a system that runs already …
 */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const say = options.say ?? (() => undefined);
  await using stack = new AsyncDisposableStack();
  const home = new Home(options.home ?? defaultHome());
  stack.use(InstanceLock.take(home.lockFile, home.path));
  home.rotateLogs();
  if (options.fresh === true) home.removeData();
  const credentials = readOrMakeCredentials(home.credentialsFile);
  const ports = await choosePorts(options);
  options.signal?.throwIfAborted();

  const nats = await startNats(stack, home, credentials, options, say);
  const database = await startDatabase(stack, home, options, say);
  options.signal?.throwIfAborted();
  say("creating what is missing: streams, buckets, database schemas");
  await provisionBus(nats.as("admin"));
  const databaseUrls = await provisionDatabase(database.url, credentials.database);

  const names = SERVICES.filter((name) => options.services?.includes(name) ?? true);
  if (names.length > 0) say(`starting ${names.join(", ")}`);
  const surroundings = { ports, nats: nats.as, databaseUrls, environment: options.environment ?? {} };
  const supervisor = stack.use(
    await Supervisor.start(
      names.map((name) => ({
        name,
        arguments: serviceArguments(name),
        environment: serviceEnvironment(name, surroundings),
        httpPort: ports[name].http,
        logFile: home.logFile(name),
        say,
      })),
      options.signal,
    ),
  );
  const endpoints: Endpoints = {
    nats: {
      url: nats.as("admin").url,
      producer: nats.as("producer"),
      application: nats.as("application"),
      trainer: nats.as("trainer"),
      admin: nats.as("admin"),
    },
    grpc: Object.fromEntries(names.map((name) => [name, grpcAddress(ports[name])])),
    health: Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${ports[name].http}`])),
    database: { url: database.url },
    logs: home.logFile("*"),
  };
  writeEndpoints(home, endpoints);
  stack.defer(() => removeEndpoints(home));
  const failed = Promise.race([nats.failed, database.failed]);
  const serverPids = [...nats.pids, ...database.pids];
  return new Platform({ home, endpoints, supervisor, failed, serverPids }, nats.as, stack.move());
}

/** A server, ours or somebody's. */
interface Server {
  /** Resolves when it has stopped by itself. */
  readonly failed: Promise<string>;
  readonly pids: readonly number[];
}

const never = new Promise<string>(() => undefined);

async function startNats(
  stack: AsyncDisposableStack,
  home: Home,
  credentials: Credentials,
  options: PlatformOptions,
  say: (line: string) => void,
): Promise<Server & { readonly as: (user: NatsUser) => BusConfig }> {
  const url = options.natsUrl ?? process.env["NATS_URL"];
  if (url) {
    say("using the NATS server of NATS_URL");
    return { as: (user) => externalNats(url, user), failed: never, pids: [] };
  }
  const port = await portOrFree(options.ports?.nats, "NATS");
  const server = stack.use(
    await NatsServer.start({
      folder: home.natsFolder,
      logFile: home.logFile("nats-server"),
      passwords: credentials.nats,
      port,
      say,
    }),
  );
  say(`nats-server is running at ${server.url}`);
  const failed = server.process.ended.then((how) => `nats-server stopped by itself (${how})`);
  return { as: (user) => server.as(user), failed, pids: [server.process.pid] };
}

/** On somebody's own server: a password for each user (`INGESTION_PASSWORD` …), or one user for all (`NATS_USER`). */
function externalNats(url: string, user: NatsUser): BusConfig {
  const password = process.env[passwordVariable(user)];
  if (password) return { url, user, password };
  return { url, user: process.env["NATS_USER"] || undefined, password: process.env["NATS_PASSWORD"] || undefined };
}

async function startDatabase(
  stack: AsyncDisposableStack,
  home: Home,
  options: PlatformOptions,
  say: (line: string) => void,
): Promise<Server & { readonly url: string }> {
  const url = options.databaseUrl ?? process.env["DATABASE_URL"];
  if (url) {
    say("using the PostgreSQL server of DATABASE_URL");
    return { url, failed: never, pids: [] };
  }
  const server = stack.use(
    await PostgresServer.start({
      folder: home.postgresFolder(),
      logFile: home.logFile("postgres"),
      port: await portOrFree(options.ports?.postgres, "PostgreSQL"),
      fast: options.fast ?? false,
    }),
  );
  say(`PostgreSQL is running at ${new URL(server.adminUrl).host}`);
  const failed = server.process.ended.then((how) => `PostgreSQL stopped by itself (${how})`);
  return { url: server.adminUrl, failed, pids: [server.process.pid] };
}

async function provisionBus(config: BusConfig): Promise<void> {
  await using bus = await connectBus(config, "provision", silentLogger);
  await provisionNats(bus.connection);
}

async function choosePorts(options: PlatformOptions): Promise<Record<ServiceName, ServicePorts>> {
  const ports: Partial<Record<ServiceName, ServicePorts>> = {};
  for (const name of SERVICES) {
    const fixed = name === "inference-gateway" ? options.ports?.gateway : undefined;
    ports[name] = { http: await freePort(), grpc: await portOrFree(fixed, "the gateway") };
  }
  return ports as Record<ServiceName, ServicePorts>;
}

/** @throws `failed_precondition` when the wanted port is in use. */
async function portOrFree(wanted: number | undefined, what: string): Promise<number> {
  if (wanted === undefined) return freePort();
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use by another process" : `cannot be used (${cause.message})`;
      const text = `Port ${wanted}, wanted for ${what}, ${why}; choose another, or leave the option out for a free one`;
      reject(new MillraceError("failed_precondition", text, { cause }));
    });
    server.listen(wanted, "127.0.0.1", () => server.close(() => resolve()));
  });
  return wanted;
}
