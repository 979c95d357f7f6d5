import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Takes whatever telemetry comes, and forgets it. */
export class TraceSink implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<TraceSink> {
    const server = createServer((request, response) => {
      request.resume();
      response.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TraceSink(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
