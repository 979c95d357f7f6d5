import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Traceparent } from "@millrace/bus";
import {
  type PredictBatchRequest,
  type PredictBatchResponse,
  PredictBatchResponseSchema,
  type PredictRequest,
  type PredictResponse,
  PredictResponseSchema,
  type PredictResult,
  type PredictRow,
  PredictRowSchema,
  type PredictStreamRequest,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { type Clock, describeError, type Logger, MillraceError, systemClock } from "@millrace/runtime";
import type { AppDirectory, DirectoryEntry } from "./appDirectory.ts";
import { type CallTime, callTime } from "./callTime.ts";
import type { Deployments } from "./deployments.ts";
import { askChain } from "./fallback.ts";
import { FeatureReading } from "./featureReading.ts";
import type { PredictCounts } from "./metrics.ts";
import { keyText, makePrediction } from "./prediction.ts";
import { answered, failed } from "./predictResult.ts";
import type { Recorded, Recorder } from "./recorder.ts";
import { type AskedRow, checkKnownBefore, checkRow } from "./requestRules.ts";
import type { Shadows } from "./shadow.ts";

export interface PredictorOptions {
  readonly apps: AppDirectory;
  readonly deployments: Deployments;
  readonly recorder: Recorder;
  readonly shadows: Shadows;
  readonly counts: PredictCounts;
  /** Monotonic; what deadlines are measured with. */
  readonly clock: Clock;
  readonly logger: Logger;
  /** Most questions in hand at once; more are refused. */
  readonly maxCalls: number;
  /** Most rows of a batch. */
  readonly maxRows: number;
}

/** What the predictor has to know of a call. */
export interface PredictCall {
  /** Milliseconds since the epoch; Infinity when the caller set none. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: Traceparent;
}

/** A call's questions on their way. */
interface Asked {
  readonly entry: DirectoryEntry;
  readonly call: PredictCall;
  readonly time: CallTime;
}

const OVERLOAD_RETRY_MS = 100;
/** Rows of one batch that are with the model at once: enough for several full runs, and not all of a queue. */
const ROWS_AT_ONCE = 256;

/** From a question to its stored answer: check, features, model or fallback, decision, record. */
export class Predictor {
  readonly #options: PredictorOptions;
  #inHand = 0;

  constructor(options: PredictorOptions) {
    this.#options = options;
  }

  /**
   * Answers inside the call's deadline, or the app's where the call has none.
   *
   * @throws `not_found` for an unknown app, `invalid_argument` naming every wrong field, `resource_exhausted` under overload,
   *   `failed_precondition` when a feature is missing without which the app refuses to answer.
   */
  async predict(request: PredictRequest, call: PredictCall): Promise<PredictResponse> {
    return create(PredictResponseSchema, await this.#one(request.app, request, request.featuresKnownBefore, call));
  }

  /**
   * Answers every row that can be answered, inside the call's deadline, or the app's where the call has none.
   *
   * @throws what concerns all rows: `not_found`, `invalid_argument` for too many, `resource_exhausted`, `cancelled`.
   */
  async predictBatch(request: PredictBatchRequest, call: PredictCall): Promise<PredictBatchResponse> {
    const { app, rows, featuresKnownBefore } = request;
    const results = await this.#admitted(rows.length, async () => {
      const asked = this.#begin(app, call, rows.length);
      this.#checkSize(rows.length);
      checkKnownBefore(app, featuresKnownBefore);
      return this.#rows(rows, featuresKnownBefore, asked);
    });
    return create(PredictBatchResponseSchema, { results });
  }

  /** Answers a message of a stream inside the app's own deadline. Never fails: what is wrong becomes the result. */
  async predictMessage(request: PredictStreamRequest, call: Omit<PredictCall, "deadlineMs">): Promise<PredictResult> {
    const row = request.row ?? NO_ROW;
    try {
      const own = { ...call, deadlineMs: Infinity };
      return answered(await this.#one(request.app, row, request.featuresKnownBefore, own));
    } catch (error) {
      return this.#failed(row.requestId, error);
    }
  }

  #one(app: string, row: AskedRow, knownBefore: Timestamp | undefined, call: PredictCall): Promise<Recorded> {
    return this.#admitted(1, async () => {
      const asked = this.#begin(app, call);
      checkRow(app, asked.entry.app.checkFields, row, knownBefore);
      return this.#answer(row, await this.#read([row], knownBefore, asked), asked);
    });
  }

  async #rows(rows: readonly PredictRow[], knownBefore: Timestamp | undefined, asked: Asked): Promise<PredictResult[]> {
    const results: PredictResult[] = [];
    const good: number[] = [];
    rows.forEach((row, index) => {
      try {
        checkRow(asked.entry.app.name, asked.entry.app.checkFields, row);
        good.push(index);
      } catch (error) {
        results[index] = this.#failed(row.requestId, error);
      }
    });
    const asRows = good.map((index) => rows[index] as PredictRow);
    const reading = await this.#read(asRows, knownBefore, asked);
    let next = 0;
    const answerSome = async (): Promise<void> => {
      for (let at = next++; at < good.length && !asked.call.signal.aborted; at = next++) {
        const row = asRows[at] as PredictRow;
        const result = this.#answer(row, reading, asked).then(answered);
        results[good[at] as number] = await result.catch((error: unknown) => this.#failed(row.requestId, error));
      }
    };
    await Promise.all(Array.from({ length: Math.min(ROWS_AT_ONCE, good.length) }, answerSome));
    if (asked.call.signal.aborted) throw new MillraceError("cancelled", "the caller has gone");
    return results;
  }

  /** Takes in so many questions. A batch that nothing else stands against is taken whatever its size. */
  async #admitted<Result>(questions: number, work: () => Promise<Result>): Promise<Result> {
    const { counts, maxCalls } = this.#options;
    try {
      if (this.#inHand > 0 && this.#inHand + questions > maxCalls) {
        const message = `${this.#inHand} of at most ${maxCalls} questions are in hand already; try again in ${OVERLOAD_RETRY_MS} ms`;
        throw new MillraceError("resource_exhausted", message, { retryAfterMs: OVERLOAD_RETRY_MS });
      }
      this.#inHand += questions;
      try {
        return await work();
      } finally {
        this.#inHand -= questions;
      }
    } catch (error) {
      counts.refused(error instanceof MillraceError ? error.code : "internal");
      throw error;
    }
  }

  #begin(app: string, call: PredictCall, questions = 1): Asked {
    const arrivedAt = this.#options.clock.now();
    const entry = this.#find(app);
    const leftMs = call.deadlineMs - systemClock.now();
    return { entry, call, time: callTime(arrivedAt, leftMs, entry.app.deadlineMs, questions) };
  }

  #find(name: string): DirectoryEntry {
    const { apps } = this.#options;
    const found = apps.get(name);
    if (found !== undefined) return found;
    const refusal = apps.refusal(name);
    if (refusal !== undefined) throw new MillraceError("failed_precondition", refusal);
    const known = [...apps.names].join(", ") || "none";
    throw new MillraceError(
      "not_found",
      `No app ${JSON.stringify(name.slice(0, 80))}; apply it first. Known: ${known}`,
    );
  }

  #checkSize(rows: number): void {
    const { maxRows } = this.#options;
    if (rows <= maxRows) return;
    const description = `rows may have at most ${maxRows} elements, not ${rows}; send several batches`;
    const violations = [{ field: "rows", reason: "too_many_rows", description }];
    throw new MillraceError("invalid_argument", description, { violations });
  }

  #read(rows: readonly AskedRow[], knownBefore: Timestamp | undefined, { entry, time }: Asked) {
    const { app, features: cache } = entry;
    const { clock } = this.#options;
    return FeatureReading.begin(
      { app, cache, clock, answerBy: time.answerBy, knownBefore },
      rows.map(({ fields }) => fields),
    );
  }

  async #answer(row: AskedRow, reading: FeatureReading, { entry, call, time }: Asked): Promise<Recorded> {
    const { deployments, recorder, counts, clock, shadows } = this.#options;
    const { app, answers } = entry;
    const occurredAt = row.occurredAt ?? timestampFromMs(systemClock.now());
    const read = reading.of(row.fields, timestampMs(occurredAt));
    const serving = deployments.serving(app.name);
    const answer = await askChain(
      {
        app,
        serving,
        features: read.features,
        canaryKey: keyText(row.fields[app.canaryField] ?? row.fields[app.joinField]),
        answers,
        time,
        signal: call.signal,
        traceparent: call.traceparent,
      },
      counts,
      clock,
    );
    const durationMs = clock.now() - time.arrivedAt;
    const prediction = makePrediction({ app, row, occurredAt, read, answer, durationMs });
    const stored = await recorder.record(prediction, time.answerBy, call.traceparent);
    counts.answered(app.name, stored.prediction.madeBy, clock.now() - time.arrivedAt);
    // Not for a question that was asked before: its copy was, too.
    if (serving?.shadow !== undefined && stored.prediction === prediction) {
      shadows.ask({ app, shadow: serving.shadow, features: read.features, prediction, busy: this.#busy });
    }
    return stored;
  }

  get #busy(): boolean {
    return this.#inHand > this.#options.maxCalls / 2;
  }

  #failed(requestId: string, error: unknown): PredictResult {
    const { counts, logger } = this.#options;
    const code = error instanceof MillraceError ? error.code : "internal";
    counts.refused(code);
    if (code === "internal") logger.error({ err: error, requestId }, `a question failed: ${describeError(error)}`);
    return failed(requestId, error);
  }
}

const NO_ROW = create(PredictRowSchema);
