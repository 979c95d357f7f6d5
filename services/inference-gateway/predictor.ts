import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Traceparent } from "@millrace/bus";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type Prediction, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import {
  type PredictRequest,
  type PredictResponse,
  PredictResponseSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { type Clock, describeError, MillraceError, systemClock, type Violation } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import type { Deployments } from "./deployments.ts";
import { askChain, type ChainAnswer } from "./fallback.ts";
import type { FeatureCache } from "./featureCache.ts";
import type { PredictCounts } from "./metrics.ts";
import type { Recorder } from "./recorder.ts";
import type { ServedApp } from "./servedApp.ts";

export interface PredictorOptions {
  readonly apps: AppDirectory;
  readonly deployments: Deployments;
  readonly recorder: Recorder;
  readonly counts: PredictCounts;
  /** Monotonic; what deadlines are measured with. */
  readonly clock: Clock;
  /** Most calls in hand at once; more are refused. */
  readonly maxCalls: number;
}

/** What the predictor has to know of a call. */
export interface PredictCall {
  /** Milliseconds since the epoch; Infinity when the caller set none. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly traceparent: Traceparent;
}

/** Of a call's time: kept for storing the prediction, and for the way back. */
const RECORD_SHARE = 0.25;
const RECORD_MS = 20;
const RETURN_SHARE = 0.1;
const RETURN_MS = 5;
/** A caller's deadline further away than this is not waited for. */
const MAX_BUDGET_MS = 60_000;
const MAX_REQUEST_ID = 200;
const REQUEST_ID = /^[\x21-\x7e]*$/;
const OVERLOAD_RETRY_MS = 100;

/** From a request to its stored answer: check, features, model or fallback, decision, record. */
export class Predictor {
  readonly #options: PredictorOptions;
  #calls = 0;

  constructor(options: PredictorOptions) {
    this.#options = options;
  }

  /**
   * Answers inside the call's deadline, or the app's where the call has none.
   *
   * @throws `not_found` for an unknown app, `invalid_argument` naming every wrong field, `resource_exhausted` under overload.
   */
  async predict(request: PredictRequest, call: PredictCall): Promise<PredictResponse> {
    const { counts, maxCalls } = this.#options;
    try {
      if (this.#calls >= maxCalls) {
        const message = `${maxCalls} calls are in hand already; try again in ${OVERLOAD_RETRY_MS} ms`;
        throw new MillraceError("resource_exhausted", message, { retryAfterMs: OVERLOAD_RETRY_MS });
      }
      this.#calls += 1;
      try {
        return await this.#answer(request, call);
      } finally {
        this.#calls -= 1;
      }
    } catch (error) {
      counts.refused(error instanceof MillraceError ? error.code : "internal");
      throw error;
    }
  }

  async #answer(request: PredictRequest, call: PredictCall): Promise<PredictResponse> {
    const { apps, deployments, recorder, counts, clock } = this.#options;
    const arrivedAt = clock.now();
    const { app, features: cache } = this.#find(apps, request.app);
    checkRequest(request, app);
    const budget = Math.min(call.deadlineMs - systemClock.now(), MAX_BUDGET_MS);
    const ownBudget = call.deadlineMs === Infinity ? app.deadlineMs : budget;
    const answerBy = arrivedAt + ownBudget - Math.min(RETURN_MS, ownBudget * RETURN_SHARE);
    const occurredAt = request.occurredAt ?? timestampFromMs(systemClock.now());
    await awaitFeatures(request, cache, clock, answerBy);
    // Read before the features: they may be newer than it says, never older.
    const asOf = cache.asOf;
    const lackingBefore = cache.lacking(app.features);
    const fetching = cache.fetch(() => app.features.entityKeys(request.fields));
    const looked = cache.problem() ?? (fetching === undefined ? cache.lookup : await within(fetching, clock, answerBy));
    const occurredAtMs = timestampMs(occurredAt);
    const features =
      typeof looked === "string" ? looked : app.features.vector({ occurredAtMs, fields: request.fields }, looked);
    const lacking = [...lackingBefore, ...cache.lacking(app.features)];
    if (typeof features !== "string") for (const place of lacking) features[place] = Number.NaN;
    const exact = lacking.length === 0 && cache.isExact(asOf, app.features.knownBeforeMs(occurredAtMs), occurredAtMs);
    const answer = await askChain(
      {
        app,
        serving: deployments.serving(app.name),
        features,
        arrivedAt,
        modelBy: answerBy - Math.min(RECORD_MS, ownBudget * RECORD_SHARE),
        fairBudget: ownBudget >= app.deadlineMs,
        signal: call.signal,
        traceparent: call.traceparent,
      },
      clock,
    );
    const durationMs = clock.now() - arrivedAt;
    const prediction = makePrediction(request, app, occurredAt, { asOf, exact }, answer, durationMs);
    const { prediction: stored, recorded } = await recorder.record(prediction, answerBy, call.traceparent);
    counts.answered(app.name, stored.madeBy, clock.now() - arrivedAt);
    return create(PredictResponseSchema, { prediction: stored, recorded });
  }

  #find(apps: AppDirectory, name: string): { app: ServedApp; features: FeatureCache } {
    const found = apps.get(name);
    if (found !== undefined) return found;
    const known = [...apps.names].join(", ") || "none";
    throw new MillraceError(
      "not_found",
      `No app ${JSON.stringify(name.slice(0, 80))}; apply it first. Known: ${known}`,
    );
  }
}

/** Lets the features come as far as the caller asked, within its time; what comes of it is told by `features_as_of`. */
async function awaitFeatures(
  { featuresKnownBefore }: PredictRequest,
  cache: FeatureCache,
  clock: Clock,
  answerBy: number,
): Promise<void> {
  if (featuresKnownBefore === undefined) return;
  using waiting = cache.untilKnown(timestampMs(featuresKnownBefore));
  if (waiting !== undefined) await within(waiting.come, clock, answerBy);
}

function checkRequest(request: PredictRequest, app: ServedApp): void {
  let violations: readonly Violation[] = app.checkFields(request.fields);
  const { requestId, occurredAt, featuresKnownBefore } = request;
  if (requestId.length > MAX_REQUEST_ID || !REQUEST_ID.test(requestId)) {
    const description = `request_id must be at most ${MAX_REQUEST_ID} visible ASCII characters without spaces, not ${JSON.stringify(requestId.slice(0, 80))}`;
    violations = [...violations, { field: "request_id", reason: "field_pattern", description }];
  }
  for (const [field, time] of [
    ["occurred_at", occurredAt],
    ["features_known_before", featuresKnownBefore],
  ] as const) {
    if (time === undefined || isTimestamp(time)) continue;
    const description = `${field} must be from year 1 to 9999 with nanos from 0 to 999999999, not ${time.seconds} s ${time.nanos} ns`;
    violations = [...violations, { field, reason: "field_out_of_range", description }];
  }
  if (violations.length === 0) return;
  const lines = violations.map(({ description }) => description).join("; ");
  throw new MillraceError("invalid_argument", `${app.name}: ${lines}`, { violations });
}

function isTimestamp({ seconds, nanos }: Timestamp): boolean {
  return seconds >= -62_135_596_800n && seconds <= 253_402_300_799n && nanos >= 0 && nanos <= 999_999_999;
}

function makePrediction(
  request: PredictRequest,
  app: ServedApp,
  occurredAt: Timestamp,
  { asOf, exact }: { readonly asOf: Timestamp | undefined; readonly exact: boolean },
  answer: ChainAnswer,
  durationMs: number,
): Prediction {
  const prediction = create(PredictionSchema);
  prediction.id = randomUUID();
  prediction.app = app.name;
  prediction.requestId = request.requestId || prediction.id;
  prediction.joinKey = joinKey(request.fields[app.joinField]);
  prediction.occurredAt = occurredAt;
  prediction.probability = answer.probability;
  prediction.decision = app.decide(answer.probability);
  prediction.modelVersion = answer.modelVersion;
  prediction.madeBy = answer.madeBy;
  prediction.reason = answer.reason;
  prediction.features = Array.from(answer.features);
  prediction.appVersion = app.version;
  if (asOf !== undefined) prediction.featuresAsOf = asOf;
  prediction.featuresExact = exact && answer.features.length > 0;
  prediction.durationUs = Math.round(durationMs * 1_000);
  return prediction;
}

/** The join field's value as text, the same for prediction and label. */
function joinKey(value: Value | undefined): string {
  const kind = value?.kind;
  if (kind === undefined || kind.case === undefined) return "";
  return kind.case === "timestampValue" ? String(timestampMs(kind.value)) : String(kind.value);
}

/** Waits, but not beyond a point in time; answers with a sentence when that came first, or the work failed. */
async function within<Value>(work: Promise<Value>, clock: Clock, by: number): Promise<Value | string> {
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => late.resolve("the features did not come in time"),
    Math.max(0, (by - clock.now()) / 2),
  );
  try {
    return await Promise.race([work.catch(describeError), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
