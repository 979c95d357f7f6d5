import { type Bus, type BusConfig, connectBus } from "@millrace/bus";
import { NatsServer, type NatsUser, provisionNats, randomNatsPasswords } from "@millrace/local";
import { silentLogger } from "@millrace/runtime";
import { TemporaryFolder } from "./temporaryFolder.ts";

export interface TestNatsOptions {
  /** Create the streams and buckets. Default: true. */
  readonly provision?: boolean;
}

/** A NATS server of the test's own, with the users and rights of production, on a free port. */
export class TestNats implements AsyncDisposable {
  readonly url: string;
  /** How the administrator connects, who may do everything. */
  readonly config: BusConfig;
  readonly #server: NatsServer;
  readonly #folder: TemporaryFolder;

  private constructor(server: NatsServer, folder: TemporaryFolder) {
    this.#server = server;
    this.#folder = folder;
    this.url = server.url;
    this.config = server.as("admin");
  }

  static async start({ provision = true }: TestNatsOptions = {}): Promise<TestNats> {
    const folder = new TemporaryFolder();
    const server = await NatsServer.start({
      folder: folder.join("nats"),
      logFile: folder.join("nats.log"),
      passwords: randomNatsPasswords(),
    });
    const nats = new TestNats(server, folder);
    if (provision) {
      await using bus = await nats.connect();
      await provisionNats(bus.connection);
    }
    return nats;
  }

  /** How a service or client connects with its own rights. */
  as(user: NatsUser): BusConfig {
    return this.#server.as(user);
  }

  /** A connection; default: the administrator's. */
  connect(user: NatsUser = "admin"): Promise<Bus> {
    return connectBus(this.as(user), user, silentLogger);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

export const startNats = (options?: TestNatsOptions): Promise<TestNats> => TestNats.start(options);
