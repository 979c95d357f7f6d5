import type { DescFile } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { file_google_rpc_status } from "@millrace/proto/google/rpc/status_pb.ts";
import { Health } from "@millrace/proto/grpc/health/v1/health_pb.ts";
import { type ConfigReader, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { HealthImplementation } from "grpc-health-check";
import type { ImplementedService } from "./implementation.ts";
import { answerCalls } from "./serverHandler.ts";
import { serverDefinition } from "./serviceDefinition.ts";

export interface RpcServerOptions {
  /** `host:port`; port 0 takes a free one. */
  readonly address: string;
  readonly services: readonly ImplementedService[];
  readonly logger: Logger;
  /** Largest message taken. Default 4 MiB. */
  readonly maxMessageBytes?: number;
}

/** Calls still running when the server stops are given this long. */
const DRAIN_LIMIT_MS = 5_000;

/** Reads `MILLRACE_GRPC_ADDRESS`. */
export const readRpcAddress = (reader: ConfigReader, fallback: string): string =>
  reader.string("MILLRACE_GRPC_ADDRESS", fallback);

/** A gRPC server with health (grpc.health.v1) and reflection. */
export class RpcServer implements AsyncDisposable {
  readonly address: string;
  readonly #server: Server;
  readonly #health: HealthImplementation;

  private constructor(server: Server, health: HealthImplementation, address: string) {
    this.#server = server;
    this.#health = health;
    this.address = address;
  }

  /** @throws `failed_precondition` when the address is taken or not ours. */
  static async start({ address, services, logger, maxMessageBytes = 4 << 20 }: RpcServerOptions): Promise<RpcServer> {
    const onInternalError = (method: string, error: unknown): void =>
      logger.error({ err: error, method }, `${method} failed: ${describeError(error)}`);
    const server = new Server({
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": -1,
      // A client that has vanished without a word is found within a minute.
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 20_000,
      // Its counts are asked for by nobody, and are kept with every message.
      "grpc.enable_channelz": 0,
      interceptors: [answerCalls(services, onInternalError)],
    });
    // Without handlers: whatever has one is answered before.
    for (const { service } of services) server.addService(serverDefinition(service), {});
    const health = new HealthImplementation({ "": "SERVING" });
    for (const { service } of services) health.setStatus(service.typeName, "SERVING");
    health.addToServer(server);
    addReflection(server, services);
    const port = await bind(server, address);
    return new RpcServer(server, health, address.replace(/:\d+$/, `:${port}`));
  }

  /** What health checks that ask for this name are answered. */
  setServing(name: string, serving: boolean): void {
    this.#health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
  }

  /** Answers health checks with NOT_SERVING, so that balancers look elsewhere. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#health.setStatus("", "NOT_SERVING");
    const limit = setTimeout(() => this.#server.forceShutdown(), DRAIN_LIMIT_MS);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(limit);
  }
}

export const startRpcServer = (options: RpcServerOptions): Promise<RpcServer> => RpcServer.start(options);

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else {
        const message = `MILLRACE_GRPC_ADDRESS: cannot listen on ${address} (${describeError(error)}); choose another port`;
        reject(new MillraceError("failed_precondition", message, { cause: error }));
      }
    });
  });
}

function addReflection(server: Server, services: readonly ImplementedService[]): void {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (files.has(file.name)) return;
    files.set(file.name, file);
    for (const dependency of file.dependencies) add(dependency);
  };
  for (const { service } of services) add(service.file);
  add(Health.file);
  // So that a client with reflection alone can read the details of an error.
  add(file_google_rpc_status);
  const fileDescriptorProtos = [...files.values()].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const definition = { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos };
  const reflection = new ReflectionService({ files: definition } as never, {
    services: [...services.map(({ service }) => service.typeName), Health.typeName],
  });
  reflection.addToServer(server);
}
