import { MillraceError } from "@millrace/runtime";
import type { JobStore, Progress } from "./jobStore.ts";

/** How often a running job says that it is at work, and how far it is. */
const BEAT_MS = 1_000;

export interface JobRunOptions {
  readonly jobs: JobStore;
  readonly jobId: string;
  /** Names this process. */
  readonly holder: string;
  /** Of the service. */
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly timeLimitMs: number;
  readonly beatMs?: number;
}

/** Why a job was broken off. */
export type Broken =
  | { readonly by: "service" }
  | { readonly by: "lost" }
  | { readonly by: "person"; readonly who: string; readonly why: string }
  | { readonly by: "time limit" };

/** A job while it runs: keeps its lease, tells its progress, and breaks it off when somebody asks for that or its time is over. */
export class JobRun implements Disposable {
  readonly #options: JobRunOptions;
  readonly #breaking = new AbortController();
  readonly #timers: NodeJS.Timeout[];
  #news: Progress | undefined;
  #beating: Promise<void> | undefined;
  #broken: Broken | undefined;
  readonly signal: AbortSignal;

  constructor(options: JobRunOptions) {
    this.#options = options;
    this.signal = AbortSignal.any([options.signal, this.#breaking.signal]);
    const beat = setInterval(() => void this.beat(), options.beatMs ?? BEAT_MS);
    const limit = setTimeout(() => this.#break({ by: "time limit" }), options.timeLimitMs);
    this.#timers = [beat.unref(), limit.unref()];
  }

  /** Told to whoever asks with the next beat. @param share 0 to 1 of this stage */
  readonly progress = (stage: string, share?: number): void => {
    this.#news = { stage, share };
  };

  get broken(): Broken | undefined {
    return this.#options.signal.aborted ? { by: "service" } : this.#broken;
  }

  /** One beat at a time; a database that is away is waited for. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const { jobs, jobId, holder, now } = this.#options;
    const news = this.#news;
    const answer = await jobs.beat(jobId, holder, news, now()).catch(() => undefined);
    if (answer === "lost") this.#break({ by: "lost" });
    else if (answer !== undefined) this.#break({ by: "person", ...answer });
  }

  #break(broken: Broken): void {
    if (this.#broken !== undefined) return;
    this.#broken = broken;
    this.#breaking.abort(new MillraceError("cancelled", `The job was broken off: ${broken.by}`));
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
