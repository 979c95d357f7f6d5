import type { OutboxEntry } from "@millrace/outbox";
import type { PoolClient } from "pg";
import { delayBin } from "./delaySketch.ts";
import { EventClock, type TimeEvidence } from "./eventClock.ts";
import { LABEL_SOURCES, type Label, type LabelWindow } from "./labelRule.ts";
import { addOutcomes, type OutcomeRow } from "./outcomeMessage.ts";
import type { PredictionRow } from "./predictionRow.ts";
import { offerReviews } from "./reviewQueue.ts";
import { disputedOne, type ReviewOffer, type ReviewRules, uncertainOnes } from "./reviewRules.ts";
import {
  COUNT_LABELLED,
  COUNT_LABELS,
  KNOWN_KEYS,
  MATCH_LABELS,
  NOTE_CONTRADICTIONS,
  PREDICTIONS_OF_KEYS,
  PUT_AHEAD,
  SET_PROGRESS,
  STORE_LABELS,
  STORE_PREDICTIONS,
  TAKE_AHEAD,
} from "./statements.ts";

/** What a batch came to, once it is committed. */
export interface Stored {
  readonly outcomes: number;
  /** What is to be published now. */
  readonly entries: readonly OutboxEntry[];
  /** The app's event time, from labels and from the features behind predictions. */
  readonly watermarkMs: number;
  /** What became of the batch's labels. */
  readonly labels: LabelCounts;
}

export interface LabelCounts {
  /** Stored now, those set aside before among them. */
  readonly stored: number;
  /** Known already, by their event's id. */
  readonly repeated: number;
  /** Further ahead than the clock believes, and kept until it does. */
  readonly ahead: number;
  /** Pairs that contradict each other. */
  readonly contradictions: number;
}

/** For whom, which labels count, and in which windows they are watched. */
export interface JoinScope extends LabelWindow {
  readonly app: string;
  /** Of MULTICLASS. */
  readonly classes: readonly string[];
  readonly windowMs: number;
  /** Which predictions people are asked about; absent when they are not. */
  readonly review?: ReviewRules | undefined;
}

export interface ProgressRow {
  watermark: number | null;
  ahead: number;
  moved_at: number | null;
}

/** One batch of one app, while its row of `app_progress` is held. */
export class JoinTransaction {
  readonly #client: PoolClient;
  readonly #scope: JoinScope;
  readonly #before: ProgressRow;
  readonly #nowMs: number;
  readonly #clock: EventClock;
  readonly #outcomes: OutcomeRow[] = [];
  readonly #offers: ReviewOffer[] = [];
  #predictedUntilMs: number | null = null;
  readonly #labels = { stored: 0, repeated: 0, ahead: 0, contradictions: 0 };

  constructor(client: PoolClient, scope: JoinScope, before: ProgressRow, nowMs: number) {
    this.#client = client;
    this.#scope = scope;
    this.#before = before;
    this.#nowMs = nowMs;
    const state = { nowMs: before.watermark ?? undefined, ahead: before.ahead };
    this.#clock = new EventClock(state, scope.waitMs, nowMs - (before.moved_at ?? nowMs));
  }

  observe(evidence: TimeEvidence): void {
    this.#clock.observe(evidence);
  }

  async storePredictions(rows: readonly PredictionRow[], watermarkMs: number): Promise<void> {
    if (watermarkMs > 0) this.#predictedUntilMs = Math.min(watermarkMs, this.#clock.state.nowMs ?? watermarkMs);
    await this.#join(STORE_PREDICTIONS, [
      this.#scope.windowMs,
      rows.map((row) => row.joinKey),
      rows.map((row) => row.id),
      rows.map((row) => row.predictedAtMs),
      rows.map((row) => row.probability),
      rows.map((row) => row.decision),
      rows.map((row) => row.modelVersion),
      rows.map((row) => row.madeBy),
      rows.map((row) => row.features),
      rows.map((row) => row.traceparent),
      rows.map((row) => row.requestId),
      rows.map((row) => row.heldOut ?? null),
      rows.map((row) => row.answer),
    ]);
    const { review } = this.#scope;
    if (review !== undefined) this.#offers.push(...uncertainOnes(review, rows));
  }

  async storeLabels(labels: readonly Label[]): Promise<void> {
    const believed: Label[] = [];
    const ahead: Label[] = [];
    for (const label of labels) {
      this.#clock.observe(label);
      if (this.#clock.isAhead(label.occurredAtMs)) ahead.push(label);
      else believed.push({ ...label, knownAtMs: this.#clock.knownAt(label) });
    }
    if (ahead.length > 0) await this.#client.query({ ...PUT_AHEAD, values: [this.#scope.app, ...columnsOf(ahead)] });
    this.#labels.ahead += ahead.length;
    await this.#storeBelieved(believed);
  }

  async finish(): Promise<Stored> {
    const { app, classes } = this.#scope;
    const { nowMs, ahead } = this.#clock.state;
    const moved = nowMs !== undefined && nowMs !== this.#before.watermark;
    if (moved) await this.#storeBelieved(await this.#takeAhead());
    const movedAtMs = moved ? this.#nowMs : this.#before.moved_at;
    const progress = [app, nowMs ?? null, ahead, movedAtMs, this.#predictedUntilMs];
    await this.#client.query({ ...SET_PROGRESS, values: progress });
    await this.#countLabelled();
    const entries = await addOutcomes(this.#client, app, classes, this.#outcomes);
    if (this.#scope.review !== undefined)
      entries.push(...(await offerReviews(this.#client, app, this.#scope.review.perDay, this.#offers)));
    return { outcomes: this.#outcomes.length, entries, watermarkMs: nowMs ?? 0, labels: this.#labels };
  }

  async #storeBelieved(labels: readonly Label[]): Promise<void> {
    if (labels.length === 0) return;
    const { app } = this.#scope;
    const columns = columnsOf(labels);
    const before = await this.#client.query<{ join_key: string }>({ ...KNOWN_KEYS, values: [app, columns[0]] });
    const known = new Set(before.rows.map(({ join_key }) => join_key));
    const stored = await this.#client.query<{ join_key: string }>({ ...STORE_LABELS, values: [app, ...columns] });
    this.#labels.stored += stored.rows.length;
    this.#labels.repeated += labels.length - stored.rows.length;
    const keys = new Set<string>();
    // Keys of which there is more than one label.
    const several = new Set<string>();
    for (const { join_key: key } of stored.rows) {
      if (known.has(key) || keys.has(key)) several.add(key);
      keys.add(key);
    }
    if (keys.size === 0) return;
    const earliestMs = labels.reduce((earliest, { knownAtMs }) => Math.min(earliest, knownAtMs), Infinity);
    await this.#client.query({ ...COUNT_LABELS, values: [app, keys.difference(known).size, earliestMs] });
    if (several.size > 0) {
      const noted = await this.#client.query<ContradictionRow>({ ...NOTE_CONTRADICTIONS, values: [app, [...several]] });
      this.#labels.contradictions += noted.rows.length;
      await this.#dispute(noted.rows);
    }
    await this.#join(MATCH_LABELS, [[...keys]]);
  }

  /** Asks people about predictions whose labels contradict each other, unless one of these is a person's word already. */
  async #dispute(contradictions: readonly ContradictionRow[]): Promise<void> {
    const { app, review } = this.#scope;
    if (review === undefined) return;
    const person = LABEL_SOURCES.indexOf("review");
    const open = contradictions.filter(({ source, other_source }) => source !== person && other_source !== person);
    if (open.length === 0) return;
    const { rows } = await this.#client.query<Pick<PredictionRow, "id" | "joinKey" | "predictedAtMs">>({
      ...PREDICTIONS_OF_KEYS,
      values: [app, [...new Set(open.map(({ join_key }) => join_key))]],
    });
    this.#offers.push(...rows.map((row) => disputedOne(review, row)));
  }

  async #takeAhead(): Promise<Label[]> {
    const { nowMs = 0 } = this.#clock.state;
    const { rows } = await this.#client.query<AheadRow>({
      ...TAKE_AHEAD,
      values: [this.#scope.app, Math.floor(nowMs + this.#clock.maxStepMs)],
    });
    return rows.map((row) => {
      const label = labelOfRow(row);
      return { ...label, knownAtMs: this.#clock.knownAt(label) };
    });
  }

  async #join(statement: { name: string; text: string }, values: unknown[]): Promise<void> {
    const { app, waitMs, earlyMs, correctionsMs } = this.#scope;
    const { rows } = await this.#client.query<OutcomeRow>({
      ...statement,
      values: [app, waitMs, earlyMs, correctionsMs, ...values],
    });
    this.#outcomes.push(...rows);
  }

  /** Adds the first outcomes of predictions to the windows in which they were made. */
  async #countLabelled(): Promise<void> {
    const { app, windowMs } = this.#scope;
    const groups = new Map<string, { version: string; fromMs: number; bin: number; labels: number }>();
    for (const { revision, model_version: version, predicted_at: atMs, first_known: knownMs } of this.#outcomes) {
      if (revision !== 1) continue;
      const fromMs = atMs - (atMs % windowMs);
      const bin = delayBin(Math.max(0, knownMs - atMs));
      const key = `${version} ${fromMs} ${bin}`;
      const group = groups.get(key) ?? { version, fromMs, bin, labels: 0 };
      group.labels += 1;
      groups.set(key, group);
    }
    if (groups.size === 0) return;
    const all = [...groups.values()];
    await this.#client.query({
      ...COUNT_LABELLED,
      values: [
        app,
        all.map(({ version }) => version),
        all.map(({ fromMs }) => fromMs),
        all.map(({ fromMs }) => fromMs + windowMs),
        all.map(({ labels }) => labels),
        all.map(({ bin }) => bin),
      ],
    });
  }
}

interface ContradictionRow {
  join_key: string;
  source: number;
  other_source: number;
}

interface AheadRow {
  join_key: string;
  event_id: string;
  source: number;
  value: number;
  occurred_at: number;
  log_sequence: string;
  known_at: number;
  traceparent: string;
}

const labelOfRow = (row: AheadRow): Label => ({
  joinKey: row.join_key,
  eventId: row.event_id,
  source: LABEL_SOURCES[row.source] ?? "event",
  value: row.value,
  occurredAtMs: row.occurred_at,
  knownAtMs: row.known_at,
  logSequence: BigInt(row.log_sequence),
  traceparent: row.traceparent,
});

const columnsOf = (labels: readonly Label[]): unknown[][] => [
  labels.map((label) => label.joinKey),
  labels.map((label) => label.eventId),
  labels.map((label) => LABEL_SOURCES.indexOf(label.source)),
  labels.map((label) => label.value),
  labels.map((label) => label.occurredAtMs),
  labels.map((label) => label.logSequence),
  labels.map((label) => label.knownAtMs),
  labels.map((label) => label.traceparent),
];
