import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { REPORTED_LABEL } from "@millrace/app";
import { eventSubject, reviewSubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { addToOutbox, type Outbox, type OutboxEntry } from "@millrace/outbox";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type Review,
  type ReviewAnswer,
  ReviewAnswerSchema,
  type ReviewReason,
  ReviewSchema,
} from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import { type Clock, MillraceError } from "@millrace/runtime";
import type { PoolClient } from "pg";
import type { FollowedApp } from "./apps.ts";
import { eventIdOf, reportedEvent } from "./labelReport.ts";
import type { ReviewOffer } from "./reviewRules.ts";
import { LEASE_REVIEWS, LOCK_REVIEW, LOOK_AT_REVIEWS, OFFER_REVIEWS, SET_ANSWER } from "./reviewStatements.ts";

/** A person's answer, as it was asked for. */
export interface Answer {
  readonly predictionId: string;
  readonly value: number;
  readonly who: string;
  readonly note: string;
}

/** Who is asked what: hands predictions out to people, and brings their answers back as labels. */
export class ReviewQueue {
  readonly #database: Database;
  readonly #outbox: Outbox;
  readonly #clock: Clock;

  constructor(database: Database, outbox: Outbox, clock: Clock) {
    this.#database = database;
    this.#outbox = outbox;
    this.#clock = clock;
  }

  /** What is open, the most urgent first; leased when somebody takes it. */
  async list(app: string, max: number, who: string, leaseMs: number): Promise<Review[]> {
    const nowMs = this.#clock.now();
    const [progress] = await this.#database.query<{ watermark: number }>({
      text: "SELECT coalesce(watermark, 0)::float8 AS watermark FROM app_progress WHERE app = $1",
      values: [app],
    });
    const values = [app, progress?.watermark ?? 0, nowMs, who, max];
    const rows = await this.#database.query<ReviewRow>(
      who === "" ? { ...LOOK_AT_REVIEWS, values } : { ...LEASE_REVIEWS, values: [...values, nowMs + leaseMs] },
    );
    return rows.map((row) => reviewOf(app, row, nowMs));
  }

  /**
   * Takes an answer, once, and publishes it as a label event of the app, dated by the app's own clock.
   *
   * @throws `not_found`, `failed_precondition` (in another's hands, or expired), `already_exists` (answered otherwise)
   */
  async answer({ name, reports }: FollowedApp, answer: Answer): Promise<ReviewAnswer> {
    const nowMs = this.#clock.now();
    const eventId = eventIdOf("review", answer.predictionId);
    const { entry, answeredAtMs } = await this.#database.transaction(async (client) => {
      const { rows } = await client.query<LockedRow>({ ...LOCK_REVIEW, values: [name, answer.predictionId] });
      const [row] = rows;
      if (row === undefined) {
        const message = `prediction_id: nobody is asked about prediction ${JSON.stringify(answer.predictionId)}`;
        throw new MillraceError("not_found", message);
      }
      if (row.answered_at !== null) return { entry: undefined, answeredAtMs: sameAnswer(row, answer) };
      checkOpen(row, answer, nowMs);
      const { predictionId, value, who, note } = answer;
      await client.query({ ...SET_ANSWER, values: [name, predictionId, who, nowMs, value, note] });
      const occurredAtMs = Math.max(row.watermark, row.predicted_at);
      const label = { eventId, joinKey: row.join_key, value, source: "review" as const, who, occurredAtMs };
      const entry = await addToOutbox(client, {
        id: `${name}/${eventId}`,
        subject: eventSubject(name, REPORTED_LABEL),
        body: toBinary(EventSchema, reportedEvent(label, reports)),
      });
      return { entry, answeredAtMs: nowMs };
    });
    if (entry !== undefined) await this.#outbox.publish([entry]);
    const { value, who, note } = answer;
    return create(ReviewAnswerSchema, { value, who, note, eventId, answeredAt: timestampFromMs(answeredAtMs) });
  }
}

/** Offers predictions to people, in the transaction of what makes them uncertain or disputed. */
export async function offerReviews(
  client: PoolClient,
  app: string,
  perDay: number,
  offers: readonly ReviewOffer[],
): Promise<OutboxEntry[]> {
  if (offers.length === 0) return [];
  const { rows } = await client.query<ReviewRow>({
    ...OFFER_REVIEWS,
    values: [
      app,
      perDay,
      offers.map(({ predictionId }) => predictionId),
      offers.map(({ joinKey }) => joinKey),
      offers.map(({ reason }) => reason),
      offers.map(({ priority }) => priority),
      offers.map(({ predictedAtMs }) => predictedAtMs),
      offers.map(({ day }) => day),
      offers.map(({ expiresAtMs }) => expiresAtMs),
    ],
  });
  const entries: OutboxEntry[] = [];
  for (const row of rows) {
    const id = `${app}/${row.prediction_id}/${row.reason}`;
    const body = toBinary(ReviewSchema, reviewOf(app, row, 0));
    entries.push(await addToOutbox(client, { id, subject: reviewSubject(app), body }));
  }
  return entries;
}

interface ReviewRow {
  prediction_id: string;
  join_key: string;
  reason: ReviewReason;
  priority: number;
  predicted_at: number;
  probability: number;
  decision: string;
  model_version: string;
  expires_at: number;
  leased_by: string;
  leased_until: number;
}

interface LockedRow {
  join_key: string;
  predicted_at: number;
  expires_at: number;
  leased_by: string;
  leased_until: number;
  answered_by: string;
  answered_at: number | null;
  value: number | null;
  note: string;
  watermark: number;
}

function sameAnswer({ value, answered_by, answered_at }: LockedRow, answer: Answer): number {
  if (value === answer.value && answered_by === answer.who) return answered_at ?? 0;
  throw new MillraceError(
    "already_exists",
    `${answered_by} has answered it already: ${value}; a correction is a report`,
  );
}

function checkOpen(
  { leased_by, leased_until, expires_at, watermark }: LockedRow,
  { who }: Answer,
  nowMs: number,
): void {
  if (expires_at < watermark) {
    const until = new Date(expires_at).toISOString();
    throw new MillraceError("failed_precondition", `nobody is asked any more: it expired at ${until}, event time`);
  }
  if (leased_by === "" || leased_by === who || leased_until < nowMs) return;
  const until = new Date(leased_until).toISOString();
  throw new MillraceError("failed_precondition", `${leased_by} has it in hand until ${until}`, {
    retryAfterMs: leased_until - nowMs,
  });
}

function reviewOf(app: string, row: ReviewRow, nowMs: number): Review {
  const leased = row.leased_by !== "" && row.leased_until >= nowMs && nowMs > 0;
  return create(ReviewSchema, {
    app,
    predictionId: row.prediction_id,
    joinKey: row.join_key,
    reason: row.reason,
    priority: row.priority,
    predictedAt: timestampFromMs(row.predicted_at),
    probability: row.probability,
    decision: row.decision,
    modelVersion: row.model_version,
    expiresAt: timestampFromMs(row.expires_at),
    ...(leased ? { leasedBy: row.leased_by, leasedUntil: timestampFromMs(row.leased_until) } : {}),
  });
}
