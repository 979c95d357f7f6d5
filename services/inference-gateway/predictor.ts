import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  type PredictBatchRequest,
  type PredictBatchResponseSchema,
  type PredictRequest,
  type PredictResponseSchema,
  type PredictResult,
  type PredictRow,
  PredictRowSchema,
  type PredictStreamRequest,
  type PredictStreamResponseSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { Encoded } from "@millrace/rpc";
import { describeError, type Logger, MillraceError, systemClock } from "@millrace/runtime";
import { Answering, type AnsweringOptions, type Asked, type PredictCall, type RowAnswer } from "./answering.ts";
import type { AppDirectory, DirectoryEntry } from "./appDirectory.ts";
import { type CallTime, callTime } from "./callTime.ts";
import { FeatureReading } from "./featureReading.ts";
import { type Answered, encodePredictResponse, encodeResults } from "./predictionBytes.ts";
import { failed } from "./predictResult.ts";
import type { Recorded } from "./recorder.ts";
import { overload } from "./refusal.ts";
import { type AskedRow, checkKnownBefore, checkRow } from "./requestRules.ts";
import type { ThreadLoad } from "./threadLoad.ts";

export interface PredictorOptions extends Omit<AnsweringOptions, "busy"> {
  readonly apps: AppDirectory;
  readonly logger: Logger;
  /** Of this thread, by everything that it answers. */
  readonly load: ThreadLoad;
  /** Most questions in hand at once, whatever their time; more are refused. */
  readonly maxCalls: number;
  /** Most rows of a batch. */
  readonly maxRows: number;
}

/** What a row's answer is made of, or why there is none. */
type RowResult = Answered | PredictResult;

/** What a row of a batch costs the thread, in calls. */
const ROW_WEIGHT = 0.25;
/**
 * Rows of a batch whose predictions share a message on the bus, by their places, so that a repeated batch makes the same messages. What a
 * message costs is nothing by then, and nobody who reads it has to hold much.
 */
const ROWS_PER_MESSAGE = 128;
/** So many times those are with the model at once: enough for several full runs, and not all of a queue. */
const MESSAGES_AT_ONCE = 2;

/** From a question to its stored answer: admission, check, features, and what `Answering` makes of them. */
export class Predictor {
  readonly #options: PredictorOptions;
  readonly #answering: Answering;
  #inHand = 0;

  constructor(options: PredictorOptions) {
    this.#options = options;
    this.#answering = new Answering({ ...options, busy: (time) => this.#busy(time) });
  }

  /** Whether a stream should be read on. */
  get hasRoom(): boolean {
    return this.#options.load.hasRoom;
  }

  /**
   * Answers inside the call's deadline, or the app's where the call has none.
   *
   * @throws `not_found` for an unknown app, `invalid_argument` naming every wrong field, `resource_exhausted` under overload,
   *   `failed_precondition` when a feature is missing without which the app refuses to answer.
   */
  async predict(request: PredictRequest, call: PredictCall): Promise<Encoded<typeof PredictResponseSchema>> {
    return new Encoded(encodePredictResponse(await this.#one(request.app, request, request.featuresKnownBefore, call)));
  }

  /**
   * Answers every row that can be answered, inside the call's deadline, or the app's where the call has none.
   *
   * @throws what concerns all rows: `not_found`, `invalid_argument` for too many, `resource_exhausted`, `cancelled`.
   */
  async predictBatch(
    request: PredictBatchRequest,
    call: PredictCall,
  ): Promise<Encoded<typeof PredictBatchResponseSchema>> {
    const { app, rows, featuresKnownBefore } = request;
    const results = await this.#admitted(app, call, rows.length, async (asked) => {
      this.#checkSize(rows.length);
      checkKnownBefore(app, featuresKnownBefore);
      return this.#rows(rows, featuresKnownBefore, asked);
    });
    return new Encoded(encodeResults(results));
  }

  /** Answers a message of a stream inside the app's own deadline. Never fails: what is wrong becomes the result. */
  async predictMessage(
    request: PredictStreamRequest,
    call: Omit<PredictCall, "deadlineMs">,
  ): Promise<Encoded<typeof PredictStreamResponseSchema>> {
    const row = request.row ?? NO_ROW;
    try {
      const own = { ...call, deadlineMs: Infinity };
      return new Encoded(encodeResults([await this.#one(request.app, row, request.featuresKnownBefore, own)]));
    } catch (error) {
      return new Encoded(encodeResults([this.#failed(row.requestId, error)]));
    }
  }

  #one(app: string, row: AskedRow, knownBefore: Timestamp | undefined, call: PredictCall): Promise<Recorded> {
    return this.#admitted(app, call, 1, async (asked) => {
      checkRow(app, asked.entry.app.checkFields, row, knownBefore);
      return this.#answering.one(row, await this.#read([row], knownBefore, asked), asked);
    });
  }

  async #rows(rows: readonly PredictRow[], knownBefore: Timestamp | undefined, asked: Asked): Promise<RowResult[]> {
    const { results, good, repeated } = this.#checked(rows, asked);
    const reading = await this.#read(
      good.map((place) => rows[place] as PredictRow),
      knownBefore,
      asked,
    );
    const { signal } = asked.call;
    const recordings: Promise<void>[] = [];
    const answerSome = async (parts: Iterable<number[]>): Promise<void> => {
      for (const places of parts) {
        if (signal.aborted) return;
        const asRows = places.map((place) => rows[place] as PredictRow);
        const { stored } = await this.#answering.rows(asRows, reading, asked);
        const noted = stored.then((answers) => this.#note(answers, places, rows, results));
        // Told below, once all have been asked.
        noted.catch(() => undefined);
        recordings.push(noted);
      }
    };
    const parts = byMessage(good);
    await Promise.all(Array.from({ length: MESSAGES_AT_ONCE }, () => answerSome(parts)));
    await Promise.all(recordings);
    if (signal.aborted) throw new MillraceError("cancelled", "the caller has gone");
    for (const [place, first] of repeated) results[place] = results[first] as RowResult;
    return results;
  }

  /** Refuses the rows that are wrong. A request id that comes again is the same question. */
  #checked(rows: readonly PredictRow[], { entry: { app } }: Asked) {
    const results: RowResult[] = [];
    const good: number[] = [];
    const firsts = new Map<string, number>();
    const repeated: (readonly [place: number, first: number])[] = [];
    for (const [place, row] of rows.entries()) {
      const { requestId } = row;
      try {
        checkRow(app.name, app.checkFields, row);
        const first = requestId === "" ? undefined : firsts.get(requestId);
        if (first === undefined) good.push(place);
        else repeated.push([place, first]);
        if (requestId !== "" && first === undefined) firsts.set(requestId, place);
      } catch (error) {
        results[place] = this.#failed(requestId, error);
      }
    }
    return { results, good, repeated };
  }

  #note(
    answers: readonly RowAnswer[],
    places: readonly number[],
    rows: readonly PredictRow[],
    results: RowResult[],
  ): void {
    for (const [index, answer] of answers.entries()) {
      const place = places[index] as number;
      const { requestId } = rows[place] as PredictRow;
      results[place] = "error" in answer ? this.#failed(requestId, answer.error) : answer;
    }
  }

  /** Takes in so many questions. A batch that nothing else stands against is taken whatever its size. */
  async #admitted<Result>(
    app: string,
    call: PredictCall,
    questions: number,
    work: (asked: Asked) => Promise<Result>,
  ): Promise<Result> {
    const { counts, load } = this.#options;
    try {
      const asked = this.#begin(app, call, questions);
      if (questions === 1) this.#checkLane(asked);
      const weight = questions === 1 ? 1 : Math.ceil(questions * ROW_WEIGHT);
      this.#checkLoad(questions, weight, asked.time);
      this.#inHand += questions;
      load.began(weight);
      try {
        return await work(asked);
      } finally {
        this.#inHand -= questions;
        load.ended(weight);
      }
    } catch (error) {
      counts.refused(error instanceof MillraceError ? error.code : "internal");
      throw error;
    }
  }

  #begin(app: string, call: PredictCall, questions: number): Asked {
    const arrivedAt = this.#options.clock.now();
    const entry = this.#find(app);
    const leftMs = call.deadlineMs - systemClock.now();
    return { entry, call, time: callTime(arrivedAt, leftMs, entry.app.deadlineMs, questions) };
  }

  /** @throws `resource_exhausted` */
  #checkLoad(questions: number, weight: number, { arrivedAt, answerBy }: CallTime): void {
    const { load, maxCalls } = this.#options;
    if (this.#inHand > 0 && this.#inHand + questions > maxCalls) {
      throw overload(`${this.#inHand} of at most ${maxCalls} questions are in hand already`, load.workMs);
    }
    if (load.overloaded(weight, answerBy - arrivedAt)) throw load.refusal();
  }

  /**
   * Refuses what the chain would refuse, before anything is done for it, where only the champion can answer.
   *
   * @throws `resource_exhausted`
   */
  #checkLane({ entry: { app, answers }, time }: Asked): void {
    const { deployments, clock } = this.#options;
    const serving = deployments.serving(app.name);
    if (answers !== undefined || serving?.champion === undefined || serving.canary !== undefined) return;
    const { breaker, lane } = serving.champion;
    if (breaker.state(clock.now()) !== "closed") return;
    const refusal = lane.refusal(time.modelBy);
    if (refusal !== undefined) throw refusal;
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

  /** Twice as much, and calls would be refused. */
  #busy({ arrivedAt, answerBy }: CallTime): boolean {
    const { load, maxCalls } = this.#options;
    return this.#inHand > maxCalls / 2 || load.overloaded(load.inHand, answerBy - arrivedAt);
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

/** Divides places by the messages that their rows belong to. Can be taken from by several. */
function byMessage(places: readonly number[]): IterableIterator<number[]> {
  return Map.groupBy(places, (place) => Math.floor(place / ROWS_PER_MESSAGE)).values();
}
