import { mkdirSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import type { BusConfig } from "@millrace/bus";
import { MillraceError } from "@millrace/runtime";
import { OwnProcess } from "./childProcess.ts";
import { freePort } from "./freePort.ts";
import { natsProgram } from "./natsProgram.ts";
import { NATS_USERS, type NatsPasswords, type NatsUser, passwordVariable } from "./natsUsers.ts";
import { waitFor } from "./waitFor.ts";

export interface NatsServerOptions {
  /** Holds JetStream's data. */
  readonly folder: string;
  readonly logFile: string;
  readonly passwords: NatsPasswords;
  readonly port?: number;
  readonly say?: (line: string) => void;
}

/** Users and rights, the same in every deployment. */
const CONFIGURATION = join(import.meta.dirname, "..", "nats", "nats.conf");

/** A NATS server of our own, with JetStream, on the loopback. Stopped when disposed of; the data stays. */
export class NatsServer implements AsyncDisposable {
  readonly url: string;
  readonly process: OwnProcess;
  readonly #passwords: NatsPasswords;

  private constructor(process: OwnProcess, url: string, passwords: NatsPasswords) {
    this.process = process;
    this.url = url;
    this.#passwords = passwords;
  }

  /** @throws `failed_precondition` when there is no nats-server, or its port is in use. */
  static async start(options: NatsServerOptions): Promise<NatsServer> {
    const program = natsProgram(options.say === undefined ? {} : { say: options.say });
    mkdirSync(options.folder, { recursive: true });
    const port = options.port ?? (await freePort());
    const server = await OwnProcess.start({
      name: "nats-server",
      command: program,
      arguments: ["-c", CONFIGURATION, "-a", "127.0.0.1", "-p", String(port), "-sd", options.folder],
      environment: Object.fromEntries(NATS_USERS.map((user) => [passwordVariable(user), options.passwords[user]])),
      logFile: options.logFile,
    });
    try {
      await waitUntilReady(server, port);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return new NatsServer(server, `nats://127.0.0.1:${port}`, options.passwords);
  }

  /** How a user connects. */
  as(user: NatsUser): BusConfig {
    return { url: this.url, user, password: this.#passwords[user] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

/** JetStream is ready before the port opens. */
async function waitUntilReady(server: OwnProcess, port: number): Promise<void> {
  await waitFor(() => server.how !== undefined || answers(port), {
    deadlineMs: 60_000,
    everyMs: 10,
    what: "nats-server to start",
  });
  if (server.how !== undefined) {
    throw new MillraceError(
      "failed_precondition",
      `nats-server stopped at once (${server.how}); ${server.logFile} says: ${server.lastWords()}`,
    );
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, "127.0.0.1");
    socket.once("data", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}
