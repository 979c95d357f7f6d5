import { type Bus, done, type JsMsg, type Outcome, type RunningConsumer } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { describeError, type Logger } from "@millrace/runtime";
import type { Registry } from "./registry.ts";
import { answerOfOutcome, answerOfPrediction, outcomesOf, predictionsOf } from "./trialAnswers.ts";
import { type TrialAnswer, TrialEvidence } from "./trialEvidence.ts";
import { TRIAL_COLUMNS, type TrialRow } from "./trialRow.ts";

/** How often trials are looked at. */
const LOOK_MS = 2_000;
/** Messages in one transaction. */
const MAX_BATCH = 500;

export interface TrialWatchOptions {
  readonly bus: Bus;
  readonly database: Database;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly lookMs?: number | undefined;
}

const STREAMS = [
  { stream: "PREDICTIONS", filter: "predictions.>", durable: "training-trials" },
  { stream: "OUTCOMES", filter: "outcomes.>", durable: "training-trials" },
] as const;

/**
 * Collects the evidence of trials, and has the registry look at it. It reads PREDICTIONS and OUTCOMES only while a version is on its way or on probation: from
 * its beginning on, through durable consumers that go with the last trial, so that after a crash nothing is missed. Several processes share
 * these consumers; what they write may come twice and in any order.
 */
export class TrialWatch implements AsyncDisposable {
  readonly #options: TrialWatchOptions;
  readonly #evidence: TrialEvidence;
  readonly #timer: NodeJS.Timeout;
  readonly #active = new Map<string, TrialRow>();
  #consumers: RunningConsumer[] = [];
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: TrialWatchOptions) {
    this.#options = options;
    this.#evidence = new TrialEvidence((statement) => options.database.query(statement));
    this.#timer = setInterval(() => void this.look(), options.lookMs ?? LOOK_MS);
  }

  /** Looks at every trial now; a look that is under way is waited for. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        this.#options.logger.warn({ err: error }, `could not look at trials: ${describeError(error)}`);
      })
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    await this.#refresh();
    if (this.#stopped) return;
    if (this.#active.size === 0) return this.#stopReading();
    if (this.#consumers.length === 0) await this.#startReading().catch((error: unknown) => this.#giveUpReading(error));
    for (const app of this.#active.keys()) await this.#options.registry.lookAtTrial(app);
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    const rows = await this.#options.database.query<TrialRow>({
      text: `SELECT ${TRIAL_COLUMNS} FROM trials WHERE stage IN ('shadow', 'canary', 'probation')`,
    });
    this.#active.clear();
    for (const trial of rows) this.#active.set(trial.app, trial);
  }

  async #startReading(): Promise<void> {
    const { bus, logger } = this.#options;
    for (const { stream, filter, durable } of STREAMS) {
      const { state } = await bus.manager.streams.info(stream);
      const consumer = await bus.consume({
        stream,
        durable,
        filter,
        maxBatch: MAX_BATCH,
        lingerMs: 50,
        startSequence: state.last_seq + 1,
        handle: (messages) => this.#take(messages),
        // Another process has seen the last trial end, and deleted it; the next look begins anew where there is one.
        onFailure: (error) => {
          logger.info({ err: error }, `reading of ${stream} for trials ended: ${describeError(error)}`);
          void this.#closeReading();
        },
      });
      this.#consumers.push(consumer);
    }
  }

  /** Both or none; the next look tries again. */
  async #giveUpReading(error: unknown): Promise<never> {
    await this.#closeReading();
    throw error;
  }

  async #take(messages: readonly JsMsg[]): Promise<Outcome> {
    const found = new Map<TrialRow, TrialAnswer[]>();
    for (const message of messages) {
      const [kind, app = ""] = message.subject.split(".");
      const trial = this.#active.get(app);
      if (trial === undefined) continue;
      const answers =
        kind === "outcomes"
          ? outcomesOf(message.data).map((outcome) => answerOfOutcome(trial, outcome))
          : predictionsOf(message.data).map((prediction) => answerOfPrediction(trial, prediction));
      const known = found.get(trial) ?? [];
      known.push(...answers.filter((answer) => answer !== undefined));
      found.set(trial, known);
    }
    for (const [{ app }, answers] of found) if (answers.length > 0) await this.#evidence.add(app, answers);
    return done();
  }

  async #stopReading(): Promise<void> {
    if (this.#consumers.length === 0) return;
    await this.#closeReading();
    const { bus } = this.#options;
    // Gone already where another process was first.
    for (const { stream, durable } of STREAMS) await bus.manager.consumers.delete(stream, durable).catch(() => false);
  }

  async #closeReading(): Promise<void> {
    for (const consumer of this.#consumers.splice(0)) await consumer[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
    await this.#closeReading();
  }
}
