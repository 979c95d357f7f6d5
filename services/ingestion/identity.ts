import type { PoolClient } from "pg";
import type { AppRows } from "./batch.ts";
import { numberArray, textArray } from "./sqlArrays.ts";

/**
 * Takes the ids of an app's events for them, for good: an id that another event has, of whatever day, is not given again. Of two events
 * with one id in the same batch the first gets it.
 *
 * @returns the log sequences of those that got theirs, or undefined when all did
 */
export async function claimIdentities(client: PoolClient, rows: AppRows): Promise<Set<number> | undefined> {
  const result = await client.query<{ claimed: number; sequences: string[] | null }>({
    name: "claim_identities",
    text: `
      WITH claimed AS (
        INSERT INTO event_identity (app, id, day, known_at, log_sequence)
        SELECT $1, e.id, date '1970-01-01' + e.day, to_timestamp(e.known_at / 1000.0), e.log_sequence
        FROM unnest($2::text[], $3::int[], $4::float8[], $5::bigint[]) AS e (id, day, known_at, log_sequence)
        ON CONFLICT DO NOTHING
        RETURNING log_sequence
      )
      SELECT count(*)::int AS claimed, CASE WHEN count(*) < $6::int THEN array_agg(log_sequence) END AS sequences FROM claimed`,
    values: [
      rows.app,
      textArray(rows.ids),
      numberArray(rows.occurredAtSeconds.map((seconds) => Math.floor(seconds / 86_400))),
      numberArray(rows.knownAtMs),
      numberArray(rows.logSequences),
      rows.ids.length,
    ],
  });
  const [row] = result.rows;
  return row?.claimed === rows.ids.length ? undefined : new Set((row?.sequences ?? []).map(Number));
}

/** The event that has an id. */
export interface KnownEvent {
  readonly streamSequence: number;
  readonly place: number;
  /** An encoded AcceptedEvent, preceded by its length. */
  readonly accepted: Buffer;
}

/** The events of the log that have these ids; undefined for one whose event is in the log no more. */
export async function findKnown(
  client: PoolClient,
  app: string,
  ids: readonly string[],
): Promise<(KnownEvent | undefined)[]> {
  const { rows } = await client.query<{ number: string; stream_sequence: string; place: number; accepted: Buffer }>({
    name: "find_known",
    text: `
      SELECT e.number, log.stream_sequence, log.place, log.accepted
      FROM unnest($2::text[]) WITH ORDINALITY AS e (id, number)
      JOIN event_identity AS identity ON identity.app = $1 AND identity.id = e.id
      JOIN event_log AS log
        ON log.app = $1 AND log.known_at = identity.known_at AND log.log_sequence = identity.log_sequence
        AND log.occurred_at >= identity.day::timestamp AT TIME ZONE 'UTC'
        AND log.occurred_at < (identity.day + 1)::timestamp AT TIME ZONE 'UTC'`,
    values: [app, textArray(ids)],
  });
  const found = new Map(
    rows.map(({ number, stream_sequence, place, accepted }) => [
      Number(number),
      { streamSequence: Number(stream_sequence), place, accepted },
    ]),
  );
  return ids.map((_, index) => found.get(index + 1));
}
