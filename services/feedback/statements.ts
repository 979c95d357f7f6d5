/** The columns of an outcome, from `prediction`; numbers as float8, which pg reads as a number. */
const OUTCOME = `id, join_key, predicted_at::float8 AS predicted_at, probability, decision, model_version, made_by, traceparent,
  revision, label, previous_label, label_event_id, known_at::float8 AS known_at, label_traceparent`;

/**
 * The two statements of the join, each for one fetched batch of one app. They run in transactions that hold the app's row of
 * `app_progress`, one after the other, so that a prediction and its label that arrive at the same moment cannot miss each other.
 * A prediction's truth counts when it is known within the app's wait; its correction whenever it comes.
 */

/** Takes the lock, moves the watermark on ($2), and answers it. $3: predictions have been asked for. */
export const ADVANCE = {
  name: "advance",
  text: `INSERT INTO app_progress AS a (app, watermark, labels, asked) VALUES ($1, $2, 0, $3)
    ON CONFLICT (app) DO UPDATE SET watermark = greatest(a.watermark, excluded.watermark), asked = a.asked OR excluded.asked
    RETURNING watermark::float8 AS watermark`,
};

/**
 * Keeps the join to one index lookup per row, together with the LATERAL subqueries below, which the planner may not take apart. How
 * large the tables are when a prepared plan is used again is not known when it is made: left alone, PostgreSQL 18 took a plan made
 * on empty tables and read all of the app's rows for each of a batch, 970 µs for a prediction and its label instead of 22.
 */
export const PLAN_BY_INDEX =
  "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";

/** Stores predictions, each at once with the label that came before it, and answers those outcomes. $2 is the wait. */
export const STORE_PREDICTIONS = {
  name: "store_predictions",
  text: `WITH stored AS (
    INSERT INTO prediction (app, join_key, id, predicted_at, probability, decision, model_version, made_by, features,
      traceparent, revision, label, label_event_id, label_occurred_at, label_sequence, known_at, label_traceparent)
    SELECT $1, i.join_key, i.id, i.predicted_at, i.probability, i.decision, i.model_version, i.made_by, i.features,
      i.traceparent, CASE WHEN l.app IS NULL THEN 0 ELSE 1 END, l.value, l.event_id, l.occurred_at, l.log_sequence,
      greatest(l.known_at, i.predicted_at + CASE WHEN l.app IS NULL THEN NULL ELSE 0 END), l.traceparent
    FROM unnest($3::text[], $4::text[], $5::bigint[], $6::float8[], $7::text[], $8::text[], $9::smallint[], $10::bytea[],
      $11::text[]) AS i (join_key, id, predicted_at, probability, decision, model_version, made_by, features, traceparent)
    LEFT JOIN LATERAL (
      SELECT * FROM label WHERE app = $1 AND join_key = i.join_key AND known_at <= i.predicted_at + $2::bigint LIMIT 1
    ) l ON true
    ON CONFLICT DO NOTHING
    RETURNING *)
  SELECT ${OUTCOME} FROM stored WHERE revision > 0`,
};

/** Stores the newest label of each key and fills it into the predictions that it is the truth of. $2 is the wait. */
export const STORE_LABELS = {
  name: "store_labels",
  text: `WITH incoming AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::float8[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
      AS i (join_key, event_id, value, occurred_at, log_sequence, known_at, traceparent)),
  stored AS (
    INSERT INTO label AS l (app, join_key, event_id, value, occurred_at, log_sequence, known_at, traceparent)
    SELECT $1, i.* FROM incoming i
    ON CONFLICT (app, join_key) DO UPDATE SET event_id = excluded.event_id, value = excluded.value,
      occurred_at = excluded.occurred_at, log_sequence = excluded.log_sequence, known_at = excluded.known_at,
      traceparent = excluded.traceparent
    WHERE (l.occurred_at, l.log_sequence) < (excluded.occurred_at, excluded.log_sequence)
    RETURNING (xmax = 0) AS fresh),
  counted AS (
    UPDATE app_progress SET labels = labels + (SELECT count(*) FROM stored WHERE fresh),
      first_label_at = least(first_label_at, (SELECT min(known_at) FROM incoming))
    WHERE app = $1),
  target AS (
    SELECT i.*, q.place FROM incoming i CROSS JOIN LATERAL (
      SELECT ctid AS place FROM prediction
      WHERE app = $1 AND join_key = i.join_key AND CASE WHEN revision = 0
        THEN i.known_at <= predicted_at + $2::bigint
        ELSE (label_occurred_at, label_sequence) < (i.occurred_at, i.log_sequence) END
      OFFSET 0) q),
  matched AS (
    UPDATE prediction p SET revision = p.revision + 1, previous_label = p.label, label = i.value,
      label_event_id = i.event_id, label_occurred_at = i.occurred_at, label_sequence = i.log_sequence,
      known_at = greatest(i.known_at, p.predicted_at), label_traceparent = i.traceparent
    FROM target i WHERE p.ctid = i.place
    RETURNING p.*)
  SELECT ${OUTCOME} FROM matched`,
};

/** Forgets labels that no prediction can claim any more: a prediction is not later than the watermark by much. */
export const PRUNE_LABELS = {
  name: "prune_labels",
  text: "DELETE FROM label WHERE app = $1 AND known_at < $2",
};
