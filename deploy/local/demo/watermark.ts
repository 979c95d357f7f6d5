import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, featureBucket, KeyValueWatch } from "@millrace/bus";
import { type Watermark, WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { type Logger, MillraceError } from "@millrace/runtime";
import { waitFor } from "../waitFor.ts";
import type { Progress } from "./progress.ts";

/** How far an app's online features follow, as the feature service says after each write. */
export class FeatureWatermark implements AsyncDisposable {
  /** Every event known before this time is readable, ms. */
  eventTimeMs = -Infinity;
  streamSequence = 0;
  readonly #partitions = new Map<string, Watermark>();
  #watch: KeyValueWatch | undefined;
  #waiting: { untilMs: number; resolve: () => void }[] = [];

  /** Begins to follow, once the feature service has made the app's bucket. */
  static async follow(bus: Bus, app: string, logger: Logger, progress: Progress): Promise<FeatureWatermark> {
    const watermark = new FeatureWatermark();
    const bucket = featureBucket(app);
    const exists = async (): Promise<boolean> =>
      await bus.manager.streams.info(`KV_${bucket}`).then(
        () => true,
        () => false,
      );
    await waitFor(exists, { deadlineMs: 30_000, what: `the bucket ${bucket}, which the feature service makes` });
    watermark.#watch = await KeyValueWatch.start(await bus.keyValue(bucket), {
      key: "watermark.>",
      logger,
      onFailure: (error) => logger.error({ err: error }, "the watermark is not followed any more"),
      onEntry: ({ key, value }) => {
        watermark.#advance(key, value);
        progress.featuresMs = watermark.eventTimeMs;
      },
    });
    return watermark;
  }

  /** Resolves when every event known before `timeMs` is readable. At once, and undefined, when it is already. */
  reached(timeMs: number): Promise<void> | undefined {
    if (this.eventTimeMs >= timeMs) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push({ untilMs: timeMs, resolve });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
  }

  /** The features follow to the lowest of their partitions. */
  #advance(key: string, bytes: Uint8Array): void {
    this.#partitions.set(key, decode(WatermarkSchema, bytes));
    const all = [...this.#partitions.values()];
    if (all.length < Math.max(...all.map(({ partitions }) => partitions))) return;
    this.eventTimeMs = Math.min(
      ...all.map(({ eventTime }) => (eventTime === undefined ? -Infinity : timestampMs(eventTime))),
    );
    this.streamSequence = Math.min(...all.map(({ streamSequence }) => Number(streamSequence)));
    const due = this.#waiting.filter(({ untilMs }) => untilMs <= this.eventTimeMs);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter(({ untilMs }) => untilMs > this.eventTimeMs);
    for (const { resolve } of due) resolve();
  }
}

/** @throws `deadline_exceeded` when a promise takes longer than allowed, naming what was waited for. */
export async function within<Result>(promise: Promise<Result>, limitMs: number, what: string): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(
      new MillraceError(
        "deadline_exceeded",
        `Waited ${limitMs / 1_000} s for ${what}; the logs in .millrace/demo/logs may say why`,
      ),
    );
  }, limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
