import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { MillraceError } from "./error.ts";

/** Whether a process can take work, for whoever watches it. */
export interface Readiness {
  ready: boolean;
}

/** A worker process (`node:cluster`) has no port of its own: it tells its primary, which answers for all of them. */
export class WorkerReadiness implements Readiness {
  #ready = false;

  get ready(): boolean {
    return this.#ready;
  }

  set ready(ready: boolean) {
    this.#ready = ready;
    const message: Readiness = { ready };
    // A primary that has gone takes this process along.
    process.send?.(message, undefined, undefined, () => undefined);
  }
}

/** What a primary hears from its workers. */
export function isReadinessMessage(message: unknown): message is Readiness {
  return typeof message === "object" && message !== null && typeof (message as Partial<Readiness>).ready === "boolean";
}

/**
 * `/livez` answers 200 while the process runs; `/readyz` 200 only when it can take work. Kubernetes, compose and the local
 * supervisor ask here.
 */
export class HealthServer implements AsyncDisposable, Readiness {
  readonly #server: Server;
  #ready = false;

  private constructor() {
    this.#server = createServer((request, response) => {
      const known = request.url === "/livez" || request.url === "/readyz";
      const good = request.url === "/livez" || (request.url === "/readyz" && this.#ready);
      response.writeHead(known ? (good ? 200 : 503) : 404, { "content-type": "text/plain" });
      response.end(known ? (good ? "ok\n" : "not ready\n") : "not found\n");
    });
  }

  /** Listens on host:port; port 0 takes a free one. */
  static async listen(host: string, port: number): Promise<HealthServer> {
    const health = new HealthServer();
    await new Promise<void>((resolve, reject) => {
      health.#server.once("error", (cause: NodeJS.ErrnoException) => {
        const what =
          cause.code === "EADDRINUSE" ? "is in use by another process; choose another" : `failed: ${cause.message}`;
        reject(new MillraceError("failed_precondition", `MILLRACE_HTTP_PORT: ${host}:${port} ${what}`, { cause }));
      });
      health.#server.listen(port, host, resolve);
    });
    return health;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  set ready(ready: boolean) {
    this.#ready = ready;
  }

  get ready(): boolean {
    return this.#ready;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ready = false;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
