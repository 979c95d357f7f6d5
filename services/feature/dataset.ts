import { timestampMs } from "@bufbuild/protobuf/wkt";
import { compileLabel, durationToMs, type Expression, REPORTED_LABEL, REPORTED_LABEL_FIELDS } from "@millrace/app";
import { compileFeatures, FeatureEngine, type FeatureSet, fieldText, type ReadEvent } from "@millrace/features";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { DatasetDefinition } from "./contentHash.ts";
import { type BuildFacts, DatasetSummary } from "./datasetSummary.ts";
import { type DatasetRow, LabelJoin } from "./labelJoin.ts";
import { textFieldsOf } from "./textFields.ts";

/** Rows of prediction events that came later than this are read with what the engine still has; live, nobody could have asked. */
const LOOK_BACK_MS = 172_800_000;

/**
 * Makes a dataset out of the event log: each prediction event in [from, to) becomes a row with the features that a prediction at that
 * moment had, and the label if it was known in time. Pure: events go in, in the order in which they became known; rows come out.
 */
export class Dataset {
  readonly set: FeatureSet;
  readonly #definition: DatasetDefinition;
  readonly #engine: FeatureEngine;
  readonly #join: LabelJoin;
  readonly #label: Expression;
  readonly #predictionType: string;
  readonly #labelType: string;
  /** The type of reported labels, when the app takes them. */
  readonly #reported: readonly string[];
  readonly #joinField: string;
  readonly #waitMs: number;
  /** Fields of the request that are kept as texts: segments of evaluations that are no features. */
  readonly textFields: readonly string[];
  readonly #summary: DatasetSummary;
  #ready: DatasetRow[] = [];
  /** Everything known before this has been added. */
  #logClockMs = -Infinity;

  /** @throws as `compileFeatures`; `failed_precondition` when the app has no label. */
  constructor(definition: DatasetDefinition) {
    const { app } = definition;
    const waitMs = durationToMs(app.label?.wait);
    if (app.label === undefined || app.prediction === undefined || waitMs === undefined) {
      throw new MillraceError("failed_precondition", `app ${app.app}: label and prediction are needed for a dataset`);
    }
    this.set = compileFeatures(app);
    this.#definition = definition;
    this.#engine = new FeatureEngine(this.set, { lookBackMs: LOOK_BACK_MS, reportsChanges: false });
    this.#label = compileLabel(app);
    this.#predictionType = app.prediction.at;
    this.#labelType = app.label.on;
    this.#reported = Object.keys(app.events).filter((type) => type === REPORTED_LABEL);
    this.#joinField = app.label.join;
    this.#waitMs = waitMs;
    this.textFields = textFieldsOf(app);
    this.#summary = new DatasetSummary(definition, this.set.names, waitMs);
    this.#join = new LabelJoin({
      waitMs,
      earlyMs: durationToMs(app.label.early) ?? waitMs,
      dueFromMs: (definition.fromMs ?? -Infinity) + waitMs,
      dueBeforeMs: definition.toMs ?? Infinity,
      emit: (row) => {
        this.#summary.add(row, this.#logClockMs);
        this.#ready.push(row);
      },
    });
  }

  /** What has to be read of the event log: nothing else can matter. */
  get source(): { types: string[]; knownFromMs: number | undefined; knownBeforeMs: number | undefined } {
    const { fromMs, knownBeforeMs } = this.#definition;
    return {
      types: [...new Set([this.#predictionType, this.#labelType, ...this.#reported, ...this.set.eventTypes])].sort(),
      // A row takes a label that was known as long before it as the label's wait is.
      knownFromMs: fromMs === undefined ? undefined : fromMs - Math.max(this.set.longestWindowMs, this.#waitMs),
      knownBeforeMs,
    };
  }

  get rows(): number {
    return this.#summary.rows;
  }

  /** Takes the next event of the log. */
  add({ type, fields, occurredAtMs, knownAtMs }: ReadEvent): void {
    const { fromMs = -Infinity, toMs = Infinity, knownBeforeMs = Infinity } = this.#definition;
    if (knownAtMs >= knownBeforeMs) return;
    if (knownAtMs > this.#logClockMs) this.#logClockMs = knownAtMs;
    this.#engine.applyFields(type, fields, occurredAtMs, knownAtMs);
    this.#join.advance(knownAtMs);
    const key = fieldText(fields[this.#joinField]);
    if (key === undefined) return;
    if (type === this.#predictionType && occurredAtMs >= fromMs && occurredAtMs < toMs) {
      const features = this.#engine.read({ occurredAtMs, fields });
      const texts = this.textFields.map((name) => fieldText(fields[name]));
      this.#join.addRow(key, occurredAtMs, features, texts.length > 0 ? texts : undefined);
    }
    if (type === this.#labelType) {
      const label = this.#label.evaluate(fields, occurredAtMs);
      if (label !== undefined) this.#join.addLabel(key, Number(label), knownAtMs);
    }
    if (type === REPORTED_LABEL) {
      const label = fields[REPORTED_LABEL_FIELDS.value]?.kind;
      if (label?.case === "doubleValue") this.#join.addLabel(key, label.value, knownAtMs);
    }
  }

  /** Rows that are complete since the last call, in order. */
  takeRows(): DatasetRow[] {
    const rows = this.#ready;
    this.#ready = [];
    return rows;
  }

  /** The log has ended: completes the last rows. */
  finish(): void {
    this.#join.finish();
  }

  /** Describes what was made; call it once, after the last row. */
  manifest(facts: BuildFacts): DatasetManifest {
    return this.#summary.manifest(this.#join.counts, this.#logClockMs, facts);
  }
}

/** A dataset's definition from a request's times. */
export function definitionOf(
  app: App,
  request: { from?: TimestampLike; to?: TimestampLike; knownBefore?: TimestampLike },
): DatasetDefinition {
  const toMs = optionalMs(request.to);
  const fromMs = optionalMs(request.from);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) {
    throw new MillraceError("invalid_argument", `from must be before to: ${time(fromMs)} is not before ${time(toMs)}`, {
      violations: [{ field: "from", reason: "empty_range", description: "from must be before to" }],
    });
  }
  return { app, fromMs, toMs, knownBeforeMs: optionalMs(request.knownBefore) ?? toMs };
}

type TimestampLike = Parameters<typeof timestampMs>[0] | undefined;

const optionalMs = (timestamp: TimestampLike): number | undefined =>
  timestamp === undefined ? undefined : timestampMs(timestamp);

const time = (ms: number): string => new Date(ms).toISOString();
