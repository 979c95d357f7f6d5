/** How often something happened, and how long it took in all. */
export class Durations {
  count = 0;
  ms = 0;

  add(count: number, ms: number): void {
    this.count += count;
    this.ms += ms;
  }
}

/** One run of a model. Times in milliseconds. */
export interface RunTimes {
  readonly rows: number;
  readonly requests: number;
  /** What its requests waited, added up. */
  readonly queueMs: number;
  /** Putting the batch together. */
  readonly inputMs: number;
  readonly inferMs: number;
  /** The way to a worker and back, and taking the answers apart. */
  readonly outputMs: number;
}

export interface BatchSizeStatistics {
  readonly input: Durations;
  readonly infer: Durations;
  readonly output: Durations;
}

/** What a model version has done since it was loaded. Plain numbers, for a batch pays for every one of them. */
export class ModelStatistics {
  /** Requests answered, from arrival to answer. */
  readonly success = new Durations();
  readonly failure = new Durations();
  readonly queue = new Durations();
  readonly input = new Durations();
  readonly infer = new Durations();
  readonly output = new Durations();
  /** By rows. */
  readonly bySize = new Map<number, BatchSizeStatistics>();
  rows = 0;
  runs = 0;
  /** Milliseconds since the epoch; 0 before the first run. */
  lastRunAt = 0;

  ran({ rows, requests, queueMs, inputMs, inferMs, outputMs }: RunTimes, at: number): void {
    this.rows += rows;
    this.runs += 1;
    this.lastRunAt = at;
    this.queue.add(requests, queueMs);
    this.input.add(requests, inputMs * requests);
    this.infer.add(requests, inferMs * requests);
    this.output.add(requests, outputMs * requests);
    let size = this.bySize.get(rows);
    if (size === undefined) {
      size = { input: new Durations(), infer: new Durations(), output: new Durations() };
      this.bySize.set(rows, size);
    }
    size.input.add(1, inputMs);
    size.infer.add(1, inferMs);
    size.output.add(1, outputMs);
  }
}
