import type { Database } from "@millrace/db";
import type { Violation } from "@millrace/runtime";
import type { PoolClient } from "pg";
import type { ReplaySettlement } from "./replaySettlement.ts";
import { numberArray } from "./sqlArrays.ts";

/** A row of the index of REJECTED. */
export interface RejectedRow {
  readonly id: number;
  readonly stream: string;
  readonly streamSequence: number;
  readonly place: number;
  readonly subject: string;
  readonly app: string;
  readonly type: string;
  /** Empty, and undefined, when it could not be read. */
  readonly eventId: string;
  readonly occurredAtMs: number | undefined;
  readonly rejectedAtMs: number;
  readonly reasons: readonly string[];
  readonly violations: readonly Violation[];
  /** So many more there were. */
  readonly omittedViolations: number;
  readonly description: string;
  readonly state: RejectedState;
  readonly replays: number;
}

export type RejectedState = "rejected" | "accepted" | "duplicate" | "dropped";

/** Which rows; what is empty or undefined restricts nothing. */
export interface RejectedFilter {
  readonly app: string;
  readonly type: string;
  readonly reason: string;
  readonly fromMs: number | undefined;
  readonly beforeMs: number | undefined;
  readonly state: RejectedState;
}

/** Adds rows; those that are there already stay as they are. */
export async function insertRejected(
  database: Database,
  rows: readonly Omit<RejectedRow, "state" | "replays">[],
): Promise<void> {
  await database.query({
    name: "insert_rejected",
    text: `
      INSERT INTO rejected_event
        (id, stream, stream_sequence, place, subject, app, type, event_id, occurred_at, rejected_at, reasons, violations,
        omitted_violations, description)
      SELECT id, stream, stream_sequence, place, subject, app, type, event_id, to_timestamp(occurred_at_ms / 1000.0),
        to_timestamp(rejected_at_ms / 1000.0), ARRAY(SELECT jsonb_array_elements_text(reasons)), violations, omitted_violations, description
      FROM jsonb_to_recordset($1::jsonb) AS r (
        id bigint, stream text, stream_sequence bigint, place int, subject text, app text, type text, event_id text,
        occurred_at_ms float8, rejected_at_ms float8, reasons jsonb, violations jsonb,
        omitted_violations int, description text)
      ON CONFLICT DO NOTHING`,
    values: [JSON.stringify(rows.map(recordOf))],
  });
}

/** A page of rows with ids below `belowId`, newest first. */
export async function listRejected(
  database: Database,
  filter: RejectedFilter,
  { belowId, limit }: { readonly belowId: number; readonly limit: number },
): Promise<RejectedRow[]> {
  const { condition, values } = where(filter);
  const text = `SELECT ${COLUMNS} FROM rejected_event WHERE ${condition} AND id < $${values.length + 1} ORDER BY id DESC LIMIT $${values.length + 2}`;
  return (await database.query<Columns>({ text, values: [...values, belowId, limit] })).map(rowOf);
}

/** How many rows, by their first reason. */
export async function countRejected(database: Database, filter: RejectedFilter): Promise<Record<string, bigint>> {
  const { condition, values } = where(filter);
  const rows = await database.query<{ reason: string | null; events: string }>({
    text: `SELECT reasons[1] AS reason, count(*) AS events FROM rejected_event WHERE ${condition} GROUP BY 1`,
    values,
  });
  return Object.fromEntries(rows.map(({ reason, events }) => [reason ?? "", BigInt(events)]));
}

/** The ids of the selected rows up to `upToId`, oldest first: the order in which their events came. */
export async function chooseRejected(
  database: Database,
  filter: RejectedFilter,
  { aboveId, upToId, limit }: { readonly aboveId: number; readonly upToId: number; readonly limit: number },
): Promise<number[]> {
  const { condition, values } = where(filter);
  const next = values.length + 1;
  const rows = await database.query<{ id: string }>({
    text: `SELECT id FROM rejected_event WHERE ${condition} AND id > $${next} AND id <= $${next + 1} ORDER BY id LIMIT $${next + 2}`,
    values: [...values, aboveId, upToId, limit],
  });
  return rows.map(({ id }) => Number(id));
}

/** Rows by id; in no order. */
export async function readRejectedRows(database: Database, ids: readonly number[]): Promise<RejectedRow[]> {
  const text = `SELECT ${COLUMNS} FROM rejected_event WHERE id = ANY($1::bigint[])`;
  return (await database.query<Columns>({ text, values: [numberArray(ids)] })).map(rowOf);
}

/** What is tried again is not counted as it was: what becomes of it now is. */
export async function forgetVerdicts(
  client: PoolClient,
  events: readonly { readonly streamSequence: number; readonly place: number }[],
): Promise<void> {
  await client.query({
    name: "forget_verdicts",
    text: `
      DELETE FROM not_accepted AS verdict USING unnest($1::bigint[], $2::int[]) AS e (stream_sequence, place)
      WHERE verdict.stream_sequence = e.stream_sequence AND verdict.place = e.place`,
    values: [
      numberArray(events.map(({ streamSequence }) => streamSequence)),
      numberArray(events.map(({ place }) => place)),
    ],
  });
}

/** Notes what became of replayed events. */
export async function settleReplays(client: PoolClient, settlements: readonly ReplaySettlement[]): Promise<void> {
  await client.query({
    name: "settle_replays",
    text: `
      UPDATE rejected_event AS event SET
        state = s.state, replays = event.replays + 1,
        reasons = CASE WHEN s.state = 'rejected' THEN ARRAY(SELECT jsonb_array_elements_text(s.reasons)) ELSE event.reasons END,
        violations = CASE WHEN s.state = 'rejected' THEN s.violations ELSE event.violations END,
        omitted_violations = CASE WHEN s.state = 'rejected' THEN 0 ELSE event.omitted_violations END,
        description = CASE WHEN s.state = 'rejected' THEN s.description ELSE event.description END
      FROM jsonb_to_recordset($1::jsonb) AS s (id bigint, state text, reasons jsonb, violations jsonb, description text)
      WHERE event.id = s.id AND event.state = 'rejected'`,
    values: [
      JSON.stringify(
        settlements.map(({ rejectedId, state, violations }) => ({ id: rejectedId, state, ...tell(violations) })),
      ),
    ],
  });
}

/** Forgets rows whose messages REJECTED has no more. */
export async function deleteRejectedBefore(database: Database, id: number): Promise<void> {
  await database.query({ text: "DELETE FROM rejected_event WHERE id < $1", values: [id] });
}

/** Violations as they are kept: each reason once, texts of what PostgreSQL can hold. */
function tell(violations: readonly Violation[]) {
  return {
    reasons: [...new Set(violations.map(({ reason }) => reason))],
    violations: violations.map(({ field, reason, description }) => ({
      field: clean(field),
      reason,
      description: clean(description),
    })),
    description: clean(violations.map(({ description }) => description).join("; ")),
  };
}

function recordOf(row: Omit<RejectedRow, "state" | "replays">) {
  const told = tell(row.violations);
  return {
    id: row.id,
    stream: row.stream,
    stream_sequence: row.streamSequence,
    place: row.place,
    subject: clean(row.subject),
    app: clean(row.app),
    type: clean(row.type),
    event_id: clean(row.eventId),
    occurred_at_ms: row.occurredAtMs ?? null,
    rejected_at_ms: row.rejectedAtMs,
    reasons: row.reasons.map(clean),
    violations: told.violations,
    omitted_violations: row.omittedViolations,
    description: clean(row.description),
  };
}

/** PostgreSQL's text has no character 0, and no half of a surrogate pair. */
const clean = (text: string): string => text.replaceAll("\u0000", "\uFFFD").toWellFormed();

interface Columns {
  id: string;
  stream: string;
  stream_sequence: string;
  place: number;
  subject: string;
  app: string;
  type: string;
  event_id: string;
  occurred_at_ms: number | null;
  rejected_at_ms: number;
  reasons: string[];
  violations: Violation[];
  omitted_violations: number;
  description: string;
  state: RejectedState;
  replays: number;
}

const COLUMNS = `id, stream, stream_sequence, place, subject, app, type, event_id, reasons, violations, omitted_violations, description, state,
  replays, extract(epoch FROM occurred_at)::float8 * 1000 AS occurred_at_ms, extract(epoch FROM rejected_at)::float8 * 1000 AS rejected_at_ms`;

const rowOf = (row: Columns): RejectedRow => ({
  id: Number(row.id),
  stream: row.stream,
  streamSequence: Number(row.stream_sequence),
  place: row.place,
  subject: row.subject,
  app: row.app,
  type: row.type,
  eventId: row.event_id,
  occurredAtMs: row.occurred_at_ms === null ? undefined : Math.round(row.occurred_at_ms),
  rejectedAtMs: Math.round(row.rejected_at_ms),
  reasons: row.reasons,
  violations: row.violations,
  omittedViolations: row.omitted_violations,
  description: row.description,
  state: row.state,
  replays: row.replays,
});

/** Only what is asked for is in the condition, so that the index of that fits; the state as it is written in the indexes. */
function where({ app, type, reason, fromMs, beforeMs, state }: RejectedFilter): {
  readonly condition: string;
  readonly values: unknown[];
} {
  const values: unknown[] = [];
  const conditions = [`state = '${state}'`];
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  if (app !== "") add((parameter) => `app = ${parameter}`, app);
  if (type !== "") add((parameter) => `type = ${parameter}`, type);
  if (reason !== "") add((parameter) => `reasons @> ARRAY[${parameter}::text]`, reason);
  if (fromMs !== undefined) add((parameter) => `rejected_at >= to_timestamp(${parameter}::float8)`, fromMs / 1_000);
  if (beforeMs !== undefined) add((parameter) => `rejected_at < to_timestamp(${parameter}::float8)`, beforeMs / 1_000);
  return { condition: conditions.join(" AND "), values };
}
