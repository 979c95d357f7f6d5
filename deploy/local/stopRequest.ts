import { guardian } from "./guardian.ts";

/**
 * Turns Ctrl-C, SIGTERM, SIGHUP and the end of the parent process into one abort signal. A second request ends the process at
 * once; the guardian then ends what it had started.
 */
export function stopRequest(): AbortSignal {
  const stopping = new AbortController();
  let firstMs = 0;
  const stop = (): void => {
    if (!stopping.signal.aborted) {
      firstMs = Date.now();
      stopping.abort(new Stopped());
    } else if (Date.now() - firstMs > ONE_PRESS_MS) {
      guardian.hurry();
      process.exit(130);
    }
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, stop);
  if (process.channel) {
    process.on("disconnect", stop);
    process.channel.unref();
  }
  return stopping.signal;
}

/** Why work was given up: somebody asked for it. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** One Ctrl-C comes several times within this: from the terminal, and handed on by npm and by the bootstrap. */
const ONE_PRESS_MS = 500;

/** Resolves when stopping has been asked for. */
export function requested(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
