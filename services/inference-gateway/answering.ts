import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Traceparent } from "@millrace/bus";
import type { Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { Departure } from "@millrace/rpc";
import { type Clock, MillraceError, systemClock } from "@millrace/runtime";
import type { DirectoryEntry } from "./appDirectory.ts";
import { askTogether } from "./askTogether.ts";
import type { CallTime } from "./callTime.ts";
import type { Deployments } from "./deployments.ts";
import { askChain, type ChainAnswer, type Question } from "./fallback.ts";
import type { FeatureRead, FeatureReading } from "./featureReading.ts";
import type { PredictCounts } from "./metrics.ts";
import { keyText, makePrediction } from "./prediction.ts";
import type { Recorded, Recorder } from "./recorder.ts";
import type { AskedRow } from "./requestRules.ts";
import type { Serving } from "./servedModel.ts";
import type { Shadows } from "./shadow.ts";

export interface AnsweringOptions {
  readonly deployments: Deployments;
  readonly recorder: Recorder;
  readonly shadows: Shadows;
  readonly counts: PredictCounts;
  /** Monotonic; what deadlines are measured with. */
  readonly clock: Clock;
  /** The gateway has much to do, by the time that a call has. */
  readonly busy: (time: CallTime) => boolean;
}

/** What the predictor has to know of a call. */
export interface PredictCall {
  /** Milliseconds since the epoch; Infinity when the caller set none. */
  readonly deadlineMs: number;
  readonly signal: Departure;
  readonly traceparent: Traceparent;
}

/** A call's questions on their way. */
export interface Asked {
  readonly entry: DirectoryEntry;
  readonly call: PredictCall;
  readonly time: CallTime;
}

/** A question with its features. */
interface ReadRow {
  readonly row: AskedRow;
  readonly occurredAt: Timestamp;
  readonly read: FeatureRead;
  readonly question: Question;
}

/** A prediction that is not stored yet. */
interface Made {
  readonly prediction: Prediction;
  /** What a shadow would be asked. */
  readonly features: Float64Array | string;
}

interface Failed {
  readonly error: unknown;
}

/** What became of a row. */
export type RowAnswer = Recorded | Failed;

/** From a checked question with its features to its stored answer: model or fallback, decision, record. */
export class Answering {
  readonly #options: AnsweringOptions;

  constructor(options: AnsweringOptions) {
    this.#options = options;
  }

  /** @throws as `askChain` does */
  async one(row: AskedRow, reading: FeatureReading, asked: Asked): Promise<Recorded> {
    const { deployments, recorder, counts, clock } = this.#options;
    const { entry, call, time } = asked;
    const serving = deployments.serving(entry.app.name);
    const readRow = this.#read(row, reading, serving, asked);
    const answer = await askChain(readRow.question, counts, clock);
    const made = this.#make(readRow, answer, asked);
    const stored = await recorder.record(made.prediction, time.answerBy, call.traceparent);
    counts.took(clock.now() - time.arrivedAt);
    this.#answered(made, stored.prediction, serving, asked);
    return stored;
  }

  /**
   * Answers rows of one call, and stores their predictions together. Resolves when all are answered, with what resolves when they are
   * stored: what comes to each row, in their order. Rows of a caller who has gone are not stored.
   */
  async rows(
    rows: readonly AskedRow[],
    reading: FeatureReading,
    asked: Asked,
  ): Promise<{ readonly stored: Promise<RowAnswer[]> }> {
    const { deployments, counts, clock } = this.#options;
    const serving = deployments.serving(asked.entry.app.name);
    const made: (Made | Failed)[] = [];
    const readRows: ReadRow[] = [];
    const places: number[] = [];
    for (const [place, row] of rows.entries()) {
      try {
        readRows.push(this.#read(row, reading, serving, asked));
        places.push(place);
      } catch (error) {
        made[place] = { error };
      }
    }
    const questions = readRows.map(({ question }) => question);
    const alone: Promise<void>[] = [];
    for (const [index, result] of (await askTogether(questions, counts, clock)).entries()) {
      const place = places[index] as number;
      const make = (answer: ChainAnswer): void => {
        made[place] = this.#make(readRows[index] as ReadRow, answer, asked);
      };
      if ("answer" in result) make(result.answer);
      else {
        const said = askChain(result.question, counts, clock).then(make);
        alone.push(
          said.catch((error: unknown) => {
            made[place] = { error };
          }),
        );
      }
    }
    await Promise.all(alone);
    return { stored: this.#store(made, serving, asked) };
  }

  async #store(made: readonly (Made | Failed)[], serving: Serving | undefined, asked: Asked): Promise<RowAnswer[]> {
    const { recorder, counts, clock } = this.#options;
    const { call, time } = asked;
    if (call.signal.aborted) {
      const gone = new MillraceError("cancelled", "the caller has gone");
      return made.map(() => ({ error: gone }));
    }
    const good = made.filter((row): row is Made => !("error" in row));
    const predictions = good.map(({ prediction }) => prediction);
    const recorded = await recorder.recordRows(predictions, time.answerBy, call.traceparent);
    if (good.length > 0) counts.took(clock.now() - time.arrivedAt);
    let next = 0;
    return made.map((row) => {
      if ("error" in row) return row;
      const stored = recorded[next++] as Recorded;
      this.#answered(row, stored.prediction, serving, asked);
      return stored;
    });
  }

  #read(row: AskedRow, reading: FeatureReading, serving: Serving | undefined, { entry, call, time }: Asked): ReadRow {
    const { app, answers } = entry;
    const occurredAt = row.occurredAt ?? timestampFromMs(systemClock.now());
    const read = reading.of(row.fields, timestampMs(occurredAt));
    const question = {
      app,
      serving,
      features: read.features,
      canaryKey: keyText(row.fields[app.canaryField] ?? row.fields[app.joinField]),
      answers,
      time,
      signal: call.signal,
      traceparent: call.traceparent,
    };
    return { row, occurredAt, read, question };
  }

  #make({ row, occurredAt, read }: ReadRow, answer: ChainAnswer, { entry: { app }, time }: Asked): Made {
    const durationMs = this.#options.clock.now() - time.arrivedAt;
    const prediction = makePrediction({ app, row, occurredAt, read, answer, durationMs });
    return { prediction, features: read.features };
  }

  /** Counts an answer, and has it compared with what a shadow says. */
  #answered({ prediction, features }: Made, stored: Prediction, serving: Serving | undefined, asked: Asked): void {
    const { counts, shadows, busy } = this.#options;
    const { app } = asked.entry;
    counts.answered(app.name, stored.madeBy);
    // Not for a question that was asked before: its copy was, too.
    if (serving?.shadow === undefined || stored !== prediction) return;
    shadows.ask({ app, shadow: serving.shadow, features, prediction, busy: busy(asked.time) });
  }
}
