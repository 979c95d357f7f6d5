import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { compileMissing, EventReader, FeatureEngine, type FeatureSet, type MissingSeries } from "@millrace/features";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type ReadEventsRequestSchema,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { describeError, type Logger } from "@millrace/runtime";
import type { LiveState } from "./liveState.ts";

/** EventLogService.ReadEvents, its pages as they came. */
export type ReadLog = (
  request: MessageInitShape<typeof ReadEventsRequestSchema>,
  signal: AbortSignal,
) => AsyncIterable<Uint8Array>;

export interface BackfillOptions {
  /** What goes on meanwhile, and is to be completed. */
  readonly live: LiveState;
  /** Which entities are kept here; default: all. */
  readonly owns: ((key: string) => boolean) | undefined;
  readonly readLog: ReadLog;
  readonly logger: Logger;
  /** The series have been adopted; called in the very moment, before anything else is applied. */
  readonly onAdopted: (adopted: readonly MissingSeries[]) => void;
}

const RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
const FIRST_EVENTS_MS = 1_000;
const PROGRESS_MS = 5_000;
/** A pass over the log that finds no more than this is near enough to the end of it. */
const NEAR_EVENTS = 5_000;
/** More than this cannot wait in memory; the log is read once more then. */
const MAX_BUFFERED = 1_000_000;

/**
 * Makes the series that live features lack from the event log, and gives them to the live engine, which goes on all the time. The log is read
 * until little of it is left; what becomes live from then on is kept, too. Once the live engine has everything that was read, what was kept and
 * lies behind it in the log is applied, so that both have the same events, and the series change hands.
 */
export class Backfill implements AsyncDisposable {
  readonly #options: BackfillOptions;
  readonly #missing: readonly MissingSeries[];
  readonly #set: FeatureSet;
  readonly #names: string;
  readonly #stopping = new AbortController();
  readonly #finished: Promise<void>;
  /** What became live since the last pass over the log began. */
  #buffer: AcceptedEvent[] | undefined;
  #observed = Promise.withResolvers<void>();
  #engine: FeatureEngine;
  /** How far the log was read. */
  #readUntilMs = -Infinity;
  #readSequence = 0;
  #eventsRead = 0;

  private constructor(options: BackfillOptions) {
    this.#options = options;
    const { engine } = options.live;
    this.#missing = engine.missing;
    this.#set = compileMissing(engine.set, this.#missing);
    this.#names = this.#missing.flatMap(({ features }) => features).join(", ");
    this.#engine = this.#emptyEngine();
    this.#finished = this.#run();
  }

  /** Begins; undefined when nothing is missing. */
  static start(options: BackfillOptions): Backfill | undefined {
    return options.live.engine.missing.length === 0 ? undefined : new Backfill(options);
  }

  /** The live engine has come further; these events were new to it. */
  observe(events: readonly AcceptedEvent[]): void {
    if (this.#buffer !== undefined) {
      const types = this.#set.plan.routes;
      for (const event of events) if (types.has(event.event?.type ?? "")) this.#buffer.push(event);
    }
    this.#wake();
  }

  #wake(): void {
    this.#observed.resolve();
    this.#observed = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#finished;
  }

  async #run(): Promise<void> {
    const { logger, live } = this.#options;
    const { app } = live.engine.set.app;
    const { signal } = this.#stopping;
    for (let waitMs = RETRY_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
      try {
        if (await this.#attempt()) {
          logger.info(
            { app, events: this.#eventsRead },
            `${this.#names} of ${app} are complete: made from the event log`,
          );
          return;
        }
        waitMs = RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        const message = `${this.#names} of ${app} are still to be made from the event log (${describeError(error)}); trying again`;
        logger.warn({ err: error, app }, message);
        await delay(waitMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** False when it has to begin again. */
  async #attempt(): Promise<boolean> {
    const { live, onAdopted } = this.#options;
    this.#engine = this.#emptyEngine();
    if (live.engine.knownAtMs === -Infinity) await this.#firstEvents();
    this.#engine.keepFrom(live.engine.keptFromMs);
    this.#readUntilMs = live.engine.keptFromMs - this.#set.longestWindowMs;
    this.#readSequence = 0;
    this.#buffer = undefined;
    while ((await this.#readOn()) > NEAR_EVENTS);
    const buffer: AcceptedEvent[] = [];
    this.#buffer = buffer;
    await this.#readOn();
    while (live.completeLogSequence < BigInt(this.#readSequence)) {
      if (this.#stopping.signal.aborted || buffer.length > MAX_BUFFERED) return false;
      await this.#observed.promise;
    }
    if (this.#stopping.signal.aborted) return false;
    // From here on nothing is awaited: the live engine stays where it is.
    for (const event of buffer) if (event.logSequence > this.#readSequence) this.#engine.apply(event);
    live.engine.adoptSeries(this.#engine);
    this.#buffer = undefined;
    onAdopted(this.#missing);
    return true;
  }

  /** Gives the stream a moment to tell what time it is, so that the log need not be read from its beginning. */
  async #firstEvents(): Promise<void> {
    const { signal } = this.#stopping;
    await Promise.race([this.#observed.promise, delay(FIRST_EVENTS_MS, undefined, { signal }).catch(() => undefined)]);
  }

  /** Applies what the log has behind what was read already. Answers how many events that were. */
  async #readOn(): Promise<number> {
    const { readLog, live } = this.#options;
    const reader = new EventReader();
    const endMs = live.engine.knownAtMs;
    const beginMs = this.#readUntilMs;
    const before = this.#eventsRead;
    let reportAt = performance.now() + PROGRESS_MS;
    const request = {
      app: this.#set.app.app,
      types: [...this.#set.eventTypes],
      ...(beginMs === -Infinity ? {} : { knownFrom: timestampFromMs(Math.floor(beginMs)) }),
    };
    for await (const page of readLog(request, this.#stopping.signal)) {
      reader.read(page, ReadEventsResponseSchema.field.events.number, (event) => {
        if (event.logSequence <= this.#readSequence) return;
        this.#engine.applyFields(event.type, event.fields, event.occurredAtMs, event.knownAtMs);
        this.#readSequence = event.logSequence;
        this.#readUntilMs = event.knownAtMs;
        this.#eventsRead += 1;
      });
      if (performance.now() < reportAt) continue;
      reportAt = performance.now() + PROGRESS_MS;
      this.#report(beginMs, endMs);
    }
    return this.#eventsRead - before;
  }

  #report(beginMs: number, endMs: number): void {
    const { app } = this.#set.app;
    const share = (this.#readUntilMs - beginMs) / (endMs - beginMs);
    const percent = Number.isFinite(share) ? `, ${Math.round(Math.min(1, share) * 100)} %` : "";
    const until = new Date(this.#readUntilMs).toISOString().slice(0, 16).replace("T", " ");
    const message = `${this.#names} of ${app} are being made from the event log: ${this.#eventsRead} events, up to ${until}${percent}`;
    this.#options.logger.info({ app, events: this.#eventsRead }, message);
  }

  #emptyEngine(): FeatureEngine {
    const { live, owns } = this.#options;
    return new FeatureEngine(this.#set, { lookBackMs: live.engine.lookBackMs, owns, reportsChanges: false });
  }
}
