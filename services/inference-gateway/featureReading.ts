import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Clock, describeError } from "@millrace/runtime";
import type { FeatureCache, Lookup } from "./featureCache.ts";
import type { Fields } from "./requestRules.ts";
import type { ServedApp } from "./servedApp.ts";

/** One question's features. */
export interface FeatureRead {
  /** In the order of the app's names, NaN where missing; or why there are none. */
  readonly features: Float64Array | string;
  /** Every event known before this has been counted. */
  readonly asOf: Timestamp | undefined;
  /** They are what a dataset will hold for this moment. */
  readonly exact: boolean;
}

export interface ReadOptions {
  readonly app: ServedApp;
  readonly cache: FeatureCache;
  readonly clock: Clock;
  /** The features are waited for until half of the time to here is over. */
  readonly answerBy: number;
  /** Every event known before this should count. */
  readonly knownBefore: Timestamp | undefined;
}

/** The features of the questions of one call: whatever has to be fetched is fetched once for all of them. */
export class FeatureReading {
  readonly #app: ServedApp;
  readonly #cache: FeatureCache;
  readonly #looked: Lookup | string;
  readonly #asOf: Timestamp | undefined;
  readonly #lackingBefore: readonly number[];

  private constructor({ app, cache }: ReadOptions, looked: Lookup | string, before: Before) {
    this.#app = app;
    this.#cache = cache;
    this.#looked = looked;
    this.#asOf = before.asOf;
    this.#lackingBefore = before.lacking;
  }

  /** Makes the features of these questions readable, as far as the time allows. Never fails. */
  static async begin(options: ReadOptions, questions: Iterable<Fields>): Promise<FeatureReading> {
    const { app, cache, clock, answerBy, knownBefore } = options;
    if (knownBefore !== undefined) {
      using waiting = cache.untilKnown(timestampMs(knownBefore));
      // What comes of it is told by `features_as_of`.
      if (waiting !== undefined) await within(waiting.come, clock, answerBy);
    }
    // Read before the features: they may be newer than it says, never older.
    const before = { asOf: cache.asOf, lacking: cache.lacking(app.features) };
    const fetching = cache.fetch(() => keysOf(app, questions));
    const looked = cache.problem() ?? (fetching === undefined ? cache.lookup : await within(fetching, clock, answerBy));
    return new FeatureReading(options, looked, before);
  }

  /** The features of one of them. */
  of(fields: Fields, occurredAtMs: number): FeatureRead {
    const { features: set } = this.#app;
    const asOf = this.#asOf;
    if (typeof this.#looked === "string") return { features: this.#looked, asOf, exact: false };
    const features = set.vector({ occurredAtMs, fields }, this.#looked);
    const lackingNow = this.#cache.lacking(set);
    for (const place of this.#lackingBefore) features[place] = Number.NaN;
    for (const place of lackingNow) features[place] = Number.NaN;
    const whole = this.#lackingBefore.length === 0 && lackingNow.length === 0;
    const exact = whole && this.#cache.isExact(asOf, set.knownBeforeMs(occurredAtMs), occurredAtMs);
    return { features, asOf, exact };
  }
}

interface Before {
  readonly asOf: Timestamp | undefined;
  readonly lacking: readonly number[];
}

function keysOf({ features }: ServedApp, questions: Iterable<Fields>): string[] {
  const keys = new Set<string>();
  for (const fields of questions) for (const key of features.entityKeys(fields)) keys.add(key);
  return [...keys];
}

/** Waits, but not beyond a point in time; answers with a sentence when that came first, or the work failed. */
async function within<Value>(work: Promise<Value>, clock: Clock, by: number): Promise<Value | string> {
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => late.resolve("the features did not come in time"),
    Math.max(0, (by - clock.now()) / 2),
  );
  try {
    return await Promise.race([work.catch(describeError), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
