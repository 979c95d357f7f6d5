import { type Bus, decode, KeyValueWatch, type KvWatchEntry } from "@millrace/bus";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Clock, describeError, type Logger } from "@millrace/runtime";
import { AnswerCache } from "./answerCache.ts";
import { FeatureCache } from "./featureCache.ts";
import { compileApp, type ServedApp } from "./servedApp.ts";

export interface AppDirectoryOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cacheBytes: number;
  readonly cacheGraceMs: number;
  /** Called after a version of an app has been adopted. */
  readonly onChange: (app: ServedApp) => void;
  readonly onFailure: (error: unknown) => void;
}

/** An app and its online features. */
export interface DirectoryEntry {
  readonly app: ServedApp;
  readonly features: FeatureCache;
  /** Its models' answers, where the app wants them kept. */
  readonly answers: AnswerCache | undefined;
}

/** Every app that was applied, in its newest version that can be served, with the near cache of its features. */
export class AppDirectory implements AsyncDisposable {
  readonly #options: AppDirectoryOptions;
  readonly #apps = new Map<string, DirectoryEntry>();
  /** Why an app of which no version can be served is not there. */
  readonly #refused = new Map<string, string>();
  #watch: KeyValueWatch | undefined;

  private constructor(options: AppDirectoryOptions) {
    this.#options = options;
  }

  /** Resolves once the apps applied so far are known and their features have been read (or could not be). */
  static async start(options: AppDirectoryOptions): Promise<AppDirectory> {
    const directory = new AppDirectory(options);
    directory.#watch = await KeyValueWatch.start(await options.bus.keyValue("apps"), {
      logger: options.logger,
      onFailure: options.onFailure,
      onEntry: (entry) => directory.#adopt(entry),
    });
    await Promise.all([...directory.#apps.values()].map(({ features }) => features.firstRead));
    return directory;
  }

  get(name: string): DirectoryEntry | undefined {
    return this.#apps.get(name);
  }

  /** Why an app that was applied is not served; undefined for one that is, or that nobody applied. */
  refusal(name: string): string | undefined {
    return this.#refused.get(name);
  }

  get names(): Iterable<string> {
    return this.#apps.keys();
  }

  get entries(): Iterable<DirectoryEntry> {
    return this.#apps.values();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
    await Promise.all([...this.#apps.values()].map(({ features }) => features[Symbol.asyncDispose]()));
  }

  async #adopt(entry: KvWatchEntry): Promise<void> {
    const { bus, clock, logger, cacheBytes, cacheGraceMs, onChange } = this.#options;
    const known = this.#apps.get(entry.key);
    if (entry.operation !== "PUT") {
      this.#apps.delete(entry.key);
      this.#refused.delete(entry.key);
      await known?.features[Symbol.asyncDispose]();
      return;
    }
    try {
      const app = compileApp(decode(AppVersionSchema, entry.value));
      const features =
        known?.features ??
        new FeatureCache({ bus, app: app.name, maxBytes: cacheBytes, graceMs: cacheGraceMs, clock, logger });
      const answers = app.cache && new AnswerCache(app.cache, clock);
      this.#apps.set(app.name, { app, features, answers });
      this.#refused.delete(app.name);
      onChange(app);
      logger.info({ app: app.name, version: app.version }, `adopted version ${app.version} of ${app.name}`);
    } catch (error) {
      if (known === undefined) this.#refused.set(entry.key, describeError(error));
      const goesOn = known === undefined ? "it is not served" : `version ${known.app.version} goes on`;
      logger.error({ err: error, app: entry.key }, `${entry.key} cannot be served: ${describeError(error)}; ${goesOn}`);
    }
  }
}
