import { createServer } from "node:net";

/**
 * Where ports are taken from: above what services have by custom, below what systems give to outgoing connections (Linux: 32768 and up).
 * One of those could be taken by anybody's connection while a service that listens on it is down for a moment.
 */
const FIRST = 10_000;
const LAST = 32_000;

/** Ports given out by this process: one may be offered again before its user has begun to listen. */
const given = new Set<number>();

/** A loopback port that nobody listens on now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
