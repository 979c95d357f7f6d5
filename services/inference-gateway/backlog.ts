import type { RunCosts } from "./warmUp.ts";

/** A request that would join the queue. */
export interface Newcomer {
  readonly rows: number;
  /** Rows that wait and would be served before it. */
  readonly rowsAhead: number;
  /** Until it has to be answered. */
  readonly leftMs: number;
}

/** Of the estimate: how much the latest run counts. Ten runs later the earlier ones count for a tenth. */
const NEWEST_SHARE = 0.2;
/** A run counts as at most so many times what was expected: one outlier says little, several in a row say it all the same. */
const MOST_SURPRISE = 3;
/** Of a request's time: what is expected to take more is refused, for half of all runs take longer than expected, and the answer has a way to go. */
const SAFE_SHARE = 0.7;
/** A run is overdue after so many times what was expected … */
const OVERDUE = 4;
/** … but not before a time in which the service's own thread may have been busy. */
const OVERDUE_MS = 50;

/**
 * How much time the work of a lane takes: what runs, and what waits, as batches of the size in use. The shape of a run's cost by its rows
 * comes from the warm-up; how long it takes in truth is measured as the time between the ends of runs while there is work, so that several workers,
 * other lanes on the same workers and whatever else slows them down are in it. Pure: time comes in with every call, in milliseconds.
 */
export class Backlog {
  /** Rows and milliseconds, ascending; empty: nothing is known before the first run, and rows cost alike. */
  readonly #costs: readonly (readonly [rows: number, ms: number])[];
  /** Rows of the batches handed over, oldest first. */
  readonly #running: number[] = [];
  /** When the last run ended, or the first one after a pause began. */
  #since = 0;
  /** What the latest runs should have taken by the warm-up, and what they took. */
  #plannedMs: number;
  #takenMs: number;

  constructor(costs: RunCosts) {
    this.#costs = [...costs].filter(([, ms]) => ms > 0).sort(([a], [b]) => a - b);
    this.#plannedMs = this.#costs[0]?.[1] ?? 0;
    this.#takenMs = this.#plannedMs;
  }

  /** A batch is handed over. */
  started(rows: number, now: number): void {
    if (this.#running.length === 0) this.#since = now;
    this.#running.push(rows);
  }

  /** It has ended; a run that failed says nothing about the time that others take. */
  ended(rows: number, now: number, well: boolean): void {
    this.#running.splice(this.#running.indexOf(rows), 1);
    if (well) this.#learn(rows, now - this.#since);
    this.#since = now;
  }

  /** How long so many rows take, in batches. */
  runMs(rows: number, maxSize: number): number {
    const full = Math.floor(rows / maxSize);
    return this.#pace * (full * this.#planned(maxSize) + this.#planned(rows - full * maxSize));
  }

  /** What is left of the batches handed over. */
  runningMs(now: number): number {
    let planned = 0;
    for (const rows of this.#running) planned += this.#planned(rows);
    return Math.max(0, this.#pace * planned - (now - this.#since));
  }

  /**
   * Whether those who wait would make a newcomer late. False where nobody waits before it, so that an idle lane refuses nobody whatever it
   * expects, and where it would go with the next batch and only its own time is too short: that is no overload.
   */
  overloaded({ rows, rowsAhead, leftMs }: Newcomer, maxSize: number, now: number): boolean {
    if (rowsAhead === 0) return false;
    const safeMs = SAFE_SHARE * leftMs - this.runningMs(now);
    if (this.runMs(rowsAhead + rows, maxSize) <= safeMs) return false;
    return rowsAhead >= maxSize || this.runMs(rows, maxSize) <= safeMs;
  }

  /** Whether the batch that runs should have ended long ago: whoever waits for it waits because of the model. */
  overdue(now: number): boolean {
    const [rows] = this.#running;
    if (rows === undefined) return false;
    return now - this.#since > Math.max(OVERDUE_MS, OVERDUE * this.#pace * this.#planned(rows));
  }

  /** Milliseconds of truth for one of the plan. */
  get #pace(): number {
    return this.#plannedMs === 0 ? 0 : this.#takenMs / this.#plannedMs;
  }

  #learn(rows: number, ms: number): void {
    const planned = this.#planned(rows);
    const most = this.#plannedMs === 0 ? Infinity : MOST_SURPRISE * this.#pace * planned;
    this.#plannedMs = this.#plannedMs * (1 - NEWEST_SHARE) + planned;
    this.#takenMs = this.#takenMs * (1 - NEWEST_SHARE) + Math.min(ms, most);
  }

  /** Between the sizes that were measured on a straight line; beyond them in proportion. */
  #planned(rows: number): number {
    if (rows === 0) return 0;
    let [lowerRows, lowerMs] = [0, 0];
    for (const [upperRows, upperMs] of this.#costs) {
      if (rows <= upperRows) {
        // Below the smallest size, which is one row.
        if (lowerRows === 0) return upperMs;
        return lowerMs + ((upperMs - lowerMs) * (rows - lowerRows)) / (upperRows - lowerRows);
      }
      [lowerRows, lowerMs] = [upperRows, upperMs];
    }
    return lowerRows === 0 ? rows : (lowerMs * rows) / lowerRows;
  }
}
