import { type Flights, type Happening, landedEvent, scheduledEvent, type Timeline } from "@millrace/flight-delays";
import type { Predictor } from "./predictor.ts";
import type { Progress } from "./progress.ts";
import type { Publisher } from "./publisher.ts";
import type { Trainings } from "./trainings.ts";
import { type FeatureWatermark, within } from "./watermark.ts";

/** The shortest tile of the app's features: what a prediction reads can change only when one ends. */
const TILE_MS = 5 * 60_000;
/**
 * Events may run so far ahead of the predictions, in event time. Features do not see what is ahead (a read as of T covers the tiles before
 * T); it only keeps the pipeline busy. Less than a flight takes, or truth would come before its question.
 */
const AHEAD_MS = 29 * 60_000;
/** No stage may stand still for longer. */
const STALL_LIMIT_MS = 120_000;
/** Events between two looks at the clock. */
const YIELD_EVERY = 500;

export interface ReplayParts {
  readonly flights: Flights;
  readonly timeline: Timeline;
  readonly publisher: Publisher;
  readonly predictor: Predictor;
  readonly watermark: FeatureWatermark;
  readonly trainings: Trainings;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Publishes everything that happens before `untilMs`, as fast as it is taken. */
export async function loadHistory(
  { flights, timeline, publisher, progress, signal }: ReplayParts,
  untilMs: number,
): Promise<void> {
  const fromMs = timeline.nextMs;
  for (let count = 1; timeline.nextMs < untilMs; count += 1) {
    const happening = timeline.next() as Happening;
    const room = publisher.publish(eventOf(flights, happening));
    if (room !== undefined) await room;
    progress.eventTimeMs = happening.atMs;
    progress.share = (happening.atMs - fromMs) / (untilMs - fromMs);
    if (count % YIELD_EVERY === 0) signal.throwIfAborted();
  }
  await publisher.flushed();
}

/**
 * Replays live traffic from where the timeline stands to its end: each event at its turn, and for each departure a Predict call, held
 * until the features that it would have seen in life are readable.
 */
export async function replayLive(parts: ReplayParts): Promise<void> {
  const clock = new ReplayClock(parts.timeline.nextMs);
  await Promise.all([publishAhead(parts, clock), predictDepartures(parts, clock)]);
}

/** The event time that predictions have reached; publishing keeps within reach of it. */
class ReplayClock {
  #nowMs: number;
  #departures: { flight: number; atMs: number }[] = [];
  /** Departures published whose prediction has not been asked for. */
  #outstanding = 0;
  #ended = false;
  #wakePublisher: (() => void) | undefined;
  #wakePredictor: (() => void) | undefined;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  predicted(atMs: number): void {
    const limitMs = this.#limitMs;
    this.#nowMs = atMs;
    this.#outstanding -= 1;
    if (this.#limitMs > limitMs || this.#outstanding === 0) this.#wakePublisher?.();
  }

  /** Whether an event at `timeMs` may be published now: a whole tile at a time. With no prediction waiting, nothing holds it back. */
  mayPublish(timeMs: number): boolean {
    return timeMs < this.#limitMs || this.#outstanding === 0;
  }

  get #limitMs(): number {
    return tileOf(this.#nowMs + AHEAD_MS);
  }

  published({ kind, flight, atMs }: Happening): void {
    if (kind === "landed") return;
    this.#departures.push({ flight, atMs });
    this.#outstanding += 1;
    this.#wakePredictor?.();
  }

  end(): void {
    this.#ended = true;
    this.#wakePredictor?.();
  }

  /** Resolves when predictions have moved on so far that more may be published. */
  async moved(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakePublisher = resolve;
    });
  }

  /** The departures published so far that wait for their prediction; undefined after the last. */
  async departures(): Promise<{ flight: number; atMs: number }[] | undefined> {
    while (this.#departures.length === 0) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakePredictor = resolve;
      });
    }
    const departures = this.#departures;
    this.#departures = [];
    return departures;
  }
}

async function publishAhead({ flights, timeline, publisher, signal }: ReplayParts, clock: ReplayClock): Promise<void> {
  try {
    for (let happening = timeline.next(); happening !== undefined; happening = timeline.next()) {
      while (!clock.mayPublish(happening.atMs)) {
        await within(clock.moved(), STALL_LIMIT_MS, "predictions to follow the events");
      }
      signal.throwIfAborted();
      const room = publisher.publish(eventOf(flights, happening));
      clock.published(happening);
      if (room !== undefined) await room;
    }
    await publisher.flushed();
  } finally {
    clock.end();
  }
}

async function predictDepartures(
  { predictor, watermark, trainings, progress, signal }: ReplayParts,
  clock: ReplayClock,
): Promise<void> {
  for (let departures = await clock.departures(); departures !== undefined; departures = await clock.departures()) {
    for (const { flight, atMs } of departures) {
      const tileMs = tileOf(atMs);
      const training = trainings.idle();
      if (training !== undefined) await within(training, STALL_LIMIT_MS, "the training to end");
      const followed = watermark.reached(tileMs);
      if (followed !== undefined) {
        await within(followed, STALL_LIMIT_MS, `the features to reach ${new Date(tileMs).toISOString()}`);
      }
      const room = predictor.predict(flight, tileMs);
      if (room !== undefined) await room;
      clock.predicted(atMs);
      progress.eventTimeMs = atMs;
    }
    signal.throwIfAborted();
  }
  await predictor.answered();
}

const tileOf = (timeMs: number): number => Math.floor(timeMs / TILE_MS) * TILE_MS;

const eventOf = (flights: Flights, { kind, flight }: Happening) =>
  kind === "landed" ? landedEvent(flights, flight) : scheduledEvent(flights, flight);
