import { setTimeout } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, qualitySubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { type DataQuality, DataQualitySchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { describeError, type Logger } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import { addNotedQuality, markPublished, type QualityDue, readClocks, readUnpublished } from "./qualityStore.ts";

/** How often what batches noted is added to the hours. A batch notes some 10 kB, which are added in a millisecond. */
const INTERVAL_MS = 1_000;

/** An hour that late events go on changing is published no more often than this. */
const AGAIN_MS = 5_000;

/** Hours that are published together. */
const MAX_HOURS = 64;

export interface QualityPublisherOptions {
  readonly intervalMs?: number;
  readonly againMs?: number;
}

/**
 * Keeps the hours up to date and publishes those that the stream's clock has passed by the app's lateness, each revision under an id of its
 * own. What is noted, added and published is remembered in the database, so a process that dies here leaves nothing out: the next
 * one goes on, and at worst publishes a revision again, under the same id.
 */
export class QualityPublisher implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #database: Database;
  readonly #apps: AppDirectory;
  readonly #logger: Logger;
  readonly #againMs: number;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(
    bus: Bus,
    database: Database,
    apps: AppDirectory,
    logger: Logger,
    { intervalMs = INTERVAL_MS, againMs = AGAIN_MS }: QualityPublisherOptions = {},
  ) {
    this.#bus = bus;
    this.#database = database;
    this.#apps = apps;
    this.#logger = logger;
    this.#againMs = againMs;
    this.#running = this.#run(intervalMs);
  }

  async #run(intervalMs: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#step();
      } catch (error) {
        this.#logger.warn({ err: error }, `could not publish data quality, will try again: ${describeError(error)}`);
      }
      await setTimeout(intervalMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #step(): Promise<void> {
    // In this order: what was known when the clock was read is in the hours that it closes.
    const clocks = await readClocks(this.#database);
    await addNotedQuality(this.#database);
    const due = clocks.flatMap((clock) => this.#dueOf(clock));
    for (let published = MAX_HOURS; published === MAX_HOURS && !this.#stop.signal.aborted; ) {
      const hours = await readUnpublished(this.#database, due, { againMs: this.#againMs, limit: MAX_HOURS });
      await this.#publish(hours);
      published = hours.length;
    }
  }

  /** Without a limit for lateness no event is late, and an hour ends when the clock has passed it. */
  #dueOf({ app, knownAtMs }: { app: string; knownAtMs: number }): QualityDue[] {
    const latenessMs = this.#apps.get(app)?.latenessMs;
    if (latenessMs === undefined) return [];
    return [{ app, endMs: knownAtMs - (Number.isFinite(latenessMs) ? latenessMs : 0) }];
  }

  async #publish(hours: readonly DataQuality[]): Promise<void> {
    if (hours.length === 0) return;
    const results = await Promise.allSettled(
      hours.map((quality) =>
        this.#bus.publish(qualitySubject(quality.app), DataQualitySchema, quality, { id: idOf(quality) }),
      ),
    );
    const confirmed = hours.filter((_, index) => results[index]?.status === "fulfilled");
    await markPublished(this.#database, confirmed);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

function idOf({ app, type, hour, revision }: DataQuality): string {
  const seconds = hour === undefined ? 0 : timestampMs(hour) / 1_000;
  return `${app}/${type}/${seconds}/${revision}`;
}
