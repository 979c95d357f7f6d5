import { watchApps } from "@millrace/app";
import type { Bus } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import type { App, AppVersion } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Clock, describeError, type ErrorCode, type Logger, MillraceError } from "@millrace/runtime";
import type { ReadLog } from "./backfill.ts";
import type { Config } from "./config.ts";
import { LiveApp } from "./liveApp.ts";

export interface LiveAppsOptions {
  readonly bus: Bus;
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly readLog: ReadLog;
  readonly onFailure: (error: unknown) => void;
}

const UNUSABLE: ReadonlySet<ErrorCode> = new Set(["invalid_argument", "failed_precondition", "unimplemented"]);

/** The live features of every app that was applied; a new version is adopted without a restart. */
export class LiveApps implements AsyncDisposable {
  readonly #options: LiveAppsOptions;
  readonly #apps = new Map<string, LiveApp>();
  #watch: AsyncDisposable | undefined;

  private constructor(options: LiveAppsOptions) {
    this.#options = options;
  }

  /** Resolves once the apps applied so far have gone on where they were. */
  static async start(options: LiveAppsOptions): Promise<LiveApps> {
    const apps = new LiveApps(options);
    const { bus, logger, onFailure } = options;
    apps.#watch = await watchApps(bus, (version) => apps.#adopt(version), { logger, onFailure });
    return apps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
    await Promise.all([...this.#apps.values()].map((live) => live[Symbol.asyncDispose]()));
  }

  async #adopt({ app, version }: AppVersion): Promise<void> {
    if (app === undefined) return;
    const { logger, onFailure } = this.#options;
    try {
      if (await this.#replace(app)) logger.info({ app: app.app, version }, `adopted version ${version} of ${app.app}`);
    } catch (error) {
      // A definition that cannot be used is the app's fault; anything else ends the service, and its next start tries again.
      if (!(error instanceof MillraceError) || !UNUSABLE.has(error.code)) {
        onFailure(error);
        return;
      }
      const message = `version ${version} of ${app.app} has no live features: ${describeError(error)}`;
      logger.error({ err: error, app: app.app, version }, message);
    }
  }

  /** False when the tiles stay the same, so that there is nothing to change. */
  async #replace(app: App): Promise<boolean> {
    const set = compileFeatures(app);
    const running = this.#apps.get(app.app);
    if (running?.set.definitions === set.definitions) return false;
    this.#apps.delete(app.app);
    await running?.[Symbol.asyncDispose]();
    this.#apps.set(app.app, await LiveApp.start({ ...this.#options, app: app.app, set }));
    return true;
  }
}
