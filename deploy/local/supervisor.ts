import { SupervisedService, type SupervisedServiceOptions } from "./supervisedService.ts";

/** All services have this long to stop, one after the other; then those that are left are killed. */
const STOP_LIMIT_MS = 8_000;

/** The services, started together and stopped in reverse order. */
export class Supervisor implements AsyncDisposable {
  readonly #services: SupervisedService[] = [];

  /** Starts the services, and waits until each is ready. When one cannot start, all are stopped again. */
  static async start(services: readonly SupervisedServiceOptions[], signal?: AbortSignal): Promise<Supervisor> {
    const supervisor = new Supervisor();
    try {
      for (const options of services) supervisor.#services.push(await SupervisedService.start(options));
      await Promise.all(supervisor.#services.map((service) => service.untilReady({ signal })));
      for (const service of supervisor.#services) service.keepRunning();
      return supervisor;
    } catch (error) {
      await supervisor[Symbol.asyncDispose]();
      throw error;
    }
  }

  get services(): readonly SupervisedService[] {
    return this.#services;
  }

  service(name: string): SupervisedService {
    const found = this.#services.find((service) => service.name === name);
    if (found === undefined) throw new Error(`${name} was not started`);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const limit = setTimeout(() => this.kill(), STOP_LIMIT_MS);
    for (const service of this.#services.toReversed()) await service[Symbol.asyncDispose]();
    clearTimeout(limit);
  }

  /** Ends every service at once, without asking. */
  kill(): void {
    for (const service of this.#services) service.kill("SIGKILL");
  }
}
