import type { Database } from "@millrace/db";
import { describeError, type Logger } from "@millrace/runtime";
import type { Partitions } from "./partitions.ts";
import { deleteQualityBefore } from "./qualityStore.ts";

export interface RetentionOptions {
  readonly database: Database;
  readonly partitions: Partitions;
  /** Days of event time that the log keeps, each app by its own clock; undefined: for ever. */
  readonly days: number | undefined;
  readonly logger: Logger;
}

const DAY_MS = 86_400_000;
/** Days that are there before their events come. */
const DAYS_AHEAD = 7;
const INTERVAL_MS = 60_000;

/**
 * How long the event log keeps events: by event time, each app by its own clock, so that a replay of old events is not swept away while
 * it is being looked at. A day goes, with its identities and its data quality, once it is too old for every app that has events in it. Days
 * to come are made ahead, so that midnight finds its partition there.
 */
export class Retention implements AsyncDisposable {
  readonly #options: RetentionOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #keptFromMs = new Map<string, number>();
  #running: Promise<void>;

  private constructor(options: RetentionOptions) {
    this.#options = options;
    this.#running = Promise.resolve();
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.#tryMaintain());
    }, INTERVAL_MS);
  }

  /** Looks once, and from then on every minute. */
  static async start(options: RetentionOptions): Promise<Retention> {
    const retention = new Retention(options);
    await retention.maintain();
    return retention;
  }

  /** The beginning of the oldest day of an app that is kept: what happened before is refused. -Infinity: all is kept. */
  keptFromMs(app: string): number {
    return this.#keptFromMs.get(app) ?? -Infinity;
  }

  /** Makes days ahead, and drops those that are too old. Returns the days dropped, since 1970. */
  async maintain(): Promise<number[]> {
    const { database, partitions, days } = this.#options;
    const clocks = await database.query<{ app: string; day: number }>({
      text: "SELECT app, floor(extract(epoch FROM known_at) / 86400)::int AS day FROM app_clock",
    });
    await partitions.make(
      clocks.flatMap(({ day }) => Array.from({ length: DAYS_AHEAD + 1 }, (_, ahead) => day + ahead)),
    );
    if (days === undefined) return [];
    for (const { app, day } of clocks) this.#keptFromMs.set(app, (day - days) * DAY_MS);
    await partitions.dropDetached();
    const dropped: number[] = [];
    for (const day of await partitions.days()) {
      // Nobody's events are younger than this.
      if (clocks.every((clock) => day >= clock.day - days)) break;
      if (await this.#isWanted(day, clocks, days)) continue;
      await partitions.drop(day);
      dropped.push(day);
    }
    if (dropped.length > 0) await this.#forget(dropped);
    return dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #tryMaintain(): Promise<void> {
    try {
      const dropped = await this.maintain();
      if (dropped.length > 0) this.#options.logger.info({ days: dropped.length }, "dropped days beyond retention");
    } catch (error) {
      this.#options.logger.warn({ err: error }, `retention is tried again in a minute: ${describeError(error)}`);
    }
  }

  /** Whether an app for which the day is not too old has events in it, or will have soon. */
  async #isWanted(day: number, clocks: readonly { app: string; day: number }[], days: number): Promise<boolean> {
    if (clocks.some((clock) => day >= clock.day && day <= clock.day + DAYS_AHEAD)) return true;
    const apps = clocks.filter((clock) => day >= clock.day - days).map(({ app }) => app);
    if (apps.length === 0) return false;
    const [row] = await this.#options.database.query<{ wanted: boolean }>({
      text: `
        SELECT EXISTS (
          SELECT FROM unnest($1::text[]) AS a (app) WHERE EXISTS (
            SELECT FROM event_log AS log
            WHERE log.app = a.app AND log.occurred_at >= to_timestamp($2) AND log.occurred_at < to_timestamp($2 + 86400))
        ) AS wanted`,
      values: [apps, day * (DAY_MS / 1_000)],
    });
    return row?.wanted === true;
  }

  async #forget(days: readonly number[]): Promise<void> {
    const { database, partitions } = this.#options;
    await database.query({
      text: "DELETE FROM event_identity WHERE day = ANY(SELECT date '1970-01-01' + unnest($1::int[]))",
      values: [days],
    });
    const [oldest] = await partitions.days();
    if (oldest !== undefined) await deleteQualityBefore(database, oldest * DAY_MS);
  }
}
