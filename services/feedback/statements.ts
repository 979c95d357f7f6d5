/** The columns of an outcome, from `prediction`; numbers as float8, which pg reads as a number. */
const OUTCOME = `id, join_key, predicted_at::float8 AS predicted_at, probability, decision, model_version, made_by, traceparent,
  revision, label, previous_label, label_event_id, known_at::float8 AS known_at, label_traceparent, answer,
  first_known::float8 AS first_known, held_out`;

/**
 * The statements of the join, each for one fetched batch of one app. They run in transactions that hold the app's row of
 * `app_progress`, one after the other, so that a prediction and its label that arrive at the same moment cannot miss each other.
 *
 * In those that join $1 is the app, $2 the wait, $3 how early a label may be, $4 how late a correction, in milliseconds.
 */

/**
 * Which label is a prediction's truth, of all that are known of its key: see `labelRule.ts`. `first_known` is when the first of those that
 * count was known; it has to be within the wait.
 */
const truth = (joinKey: string, predictedAt: string): string =>
  `SELECT l.*, min(l.known_at) OVER () AS first_known FROM label l
    WHERE l.app = $1 AND l.join_key = ${joinKey} AND l.known_at BETWEEN ${predictedAt} - $3::bigint AND ${predictedAt} + $4::bigint
    ORDER BY l.occurred_at DESC, l.source DESC, l.log_sequence DESC LIMIT 1`;

/** Takes the lock, and answers the app's clock. $2: predictions have been asked for. */
export const LOCK_PROGRESS = {
  name: "lock_progress",
  text: `INSERT INTO app_progress AS a (app, labels, asked) VALUES ($1, 0, $2)
    ON CONFLICT (app) DO UPDATE SET asked = a.asked OR excluded.asked
    RETURNING watermark::float8 AS watermark, ahead, moved_at::float8 AS moved_at`,
};

/** $5: until when predictions have come, event time. */
export const SET_PROGRESS = {
  name: "set_progress",
  text: `UPDATE app_progress SET watermark = $2, ahead = $3, moved_at = $4, predicted_until = greatest(predicted_until, $5::bigint)
    WHERE app = $1`,
};

/**
 * Keeps the join to one index lookup per row, together with the LATERAL subqueries below, which the planner may not take apart. How
 * large the tables are when a prepared plan is used again is not known when it is made: left alone, PostgreSQL 18 took a plan made
 * on empty tables and read all of the app's rows for each of a batch, 970 µs for a prediction and its label instead of 22.
 */
export const PLAN_BY_INDEX =
  "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";

/** Stores predictions, each at once with the labels that came before it, and answers those outcomes. $5 is the watched window's length. */
export const STORE_PREDICTIONS = {
  name: "store_predictions",
  text: `WITH stored AS (
    INSERT INTO prediction (app, join_key, id, request_id, predicted_at, probability, decision, model_version, made_by, features,
      answer, traceparent, held_out, revision, label, label_event_id, label_occurred_at, label_source, label_sequence, known_at,
      label_traceparent)
    SELECT $1, i.join_key, i.id, i.request_id, i.predicted_at, i.probability, i.decision, i.model_version, i.made_by, i.features,
      i.answer, i.traceparent, i.held_out, CASE WHEN l.app IS NULL THEN 0 ELSE 1 END, l.value, l.event_id, l.occurred_at, l.source, l.log_sequence,
      greatest(l.known_at, i.predicted_at + CASE WHEN l.app IS NULL THEN NULL ELSE 0 END), l.traceparent
    FROM unnest($6::text[], $7::text[], $8::bigint[], $9::float8[], $10::text[], $11::text[], $12::smallint[], $13::bytea[],
      $14::text[], $15::text[], $16::float8[], $17::bytea[]) AS i (join_key, id, predicted_at, probability, decision, model_version, made_by, features, traceparent,
      request_id, held_out, answer)
    LEFT JOIN LATERAL (
      SELECT * FROM (${truth("i.join_key", "i.predicted_at")}) t WHERE t.first_known <= i.predicted_at + $2::bigint
    ) l ON true
    ON CONFLICT DO NOTHING
    RETURNING *),
  watched AS (
    INSERT INTO label_window AS w (app, model_version, window_from, window_to, predictions, labelled)
    SELECT $1, model_version, predicted_at - predicted_at % $5::bigint, predicted_at - predicted_at % $5::bigint + $5::bigint, count(*), 0
    FROM stored GROUP BY 2, 3, 4
    ON CONFLICT (app, model_version, window_from, window_to) DO UPDATE SET revision = w.revision + 1,
      predictions = w.predictions + excluded.predictions)
  SELECT ${OUTCOME} FROM (SELECT *, predicted_at AS first_known FROM stored WHERE revision > 0) o`,
};

/** Which of the keys have labels already. */
export const KNOWN_KEYS = {
  name: "known_keys",
  text: "SELECT DISTINCT join_key FROM label WHERE app = $1 AND join_key = ANY($2::text[])",
};

/** Stores labels that are not known yet, and answers their keys. */
export const STORE_LABELS = {
  name: "store_labels",
  text: `INSERT INTO label (app, join_key, event_id, source, value, occurred_at, log_sequence, known_at, traceparent)
    SELECT $1, i.* FROM unnest($2::text[], $3::text[], $4::smallint[], $5::float8[], $6::bigint[], $7::bigint[], $8::bigint[],
      $9::text[]) AS i (join_key, event_id, source, value, occurred_at, log_sequence, known_at, traceparent)
    ON CONFLICT DO NOTHING
    RETURNING join_key`,
};

/** Counts keys that got their first label. */
export const COUNT_LABELS = {
  name: "count_labels",
  text: "UPDATE app_progress SET labels = labels + $2, first_label_at = least(first_label_at, $3::bigint) WHERE app = $1",
};

/**
 * Notes labels of one key that say different things about the same moment, or come from different sources. The first of a pair is the one
 * that counts.
 */
export const NOTE_CONTRADICTIONS = {
  name: "note_contradictions",
  text: `INSERT INTO contradiction (app, join_key, event_id, other_event_id, value, other_value, source, other_source, occurred_at,
      other_occurred_at, known_at)
    SELECT $1, k.key, a.event_id, b.event_id, a.value, b.value, a.source, b.source, a.occurred_at, b.occurred_at,
      greatest(a.known_at, b.known_at)
    FROM unnest($2::text[]) AS k (key)
    CROSS JOIN LATERAL (SELECT * FROM label WHERE app = $1 AND join_key = k.key OFFSET 0) a
    CROSS JOIN LATERAL (SELECT * FROM label WHERE app = $1 AND join_key = k.key OFFSET 0) b
    WHERE (a.occurred_at, a.source, a.log_sequence) > (b.occurred_at, b.source, b.log_sequence)
      AND a.value <> b.value AND (a.occurred_at = b.occurred_at OR a.source <> b.source)
    ON CONFLICT DO NOTHING
    RETURNING join_key, source, other_source`,
};

/** The predictions of keys about which labels contradict each other. */
export const PREDICTIONS_OF_KEYS = {
  name: "predictions_of_keys",
  text: `SELECT p.id, p.join_key AS "joinKey", p.predicted_at::float8 AS "predictedAtMs" FROM unnest($2::text[]) AS k (key)
    CROSS JOIN LATERAL (SELECT * FROM prediction WHERE app = $1 AND join_key = k.key OFFSET 0) p`,
};

/** Fills the truth of each key ($5) into its predictions, and answers the outcomes that this changes. */
export const MATCH_LABELS = {
  name: "match_labels",
  text: `WITH target AS (
    SELECT p.place, p.revision AS revision_before, t.* FROM unnest($5::text[]) AS k (key)
    CROSS JOIN LATERAL (
      SELECT ctid AS place, predicted_at, revision, label_occurred_at, label_source, label_sequence FROM prediction
      WHERE app = $1 AND join_key = k.key OFFSET 0) p
    CROSS JOIN LATERAL (${truth("k.key", "p.predicted_at")}) t
    WHERE CASE WHEN p.revision = 0 THEN t.first_known <= p.predicted_at + $2::bigint
      ELSE (p.label_occurred_at, p.label_source, p.label_sequence) < (t.occurred_at, t.source, t.log_sequence) END),
  matched AS (
    UPDATE prediction p SET revision = p.revision + (p.label IS DISTINCT FROM t.value)::int,
      previous_label = CASE WHEN p.label IS DISTINCT FROM t.value THEN p.label ELSE p.previous_label END, label = t.value,
      label_event_id = t.event_id, label_occurred_at = t.occurred_at, label_source = t.source, label_sequence = t.log_sequence,
      known_at = greatest(t.known_at, p.predicted_at), label_traceparent = t.traceparent
    FROM target t WHERE p.ctid = t.place
    RETURNING p.*, t.revision_before, t.first_known)
  SELECT ${OUTCOME} FROM matched WHERE revision > revision_before`,
};

/** Counts first outcomes in their windows: of versions $2, in the windows from $3 to $4, $5 labels with a delay in bin $6. */
export const COUNT_LABELLED = {
  name: "count_labelled",
  text: `WITH i AS (
      SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[]) AS i (version, "from", "to", labels, bin)),
    delays AS (
      INSERT INTO label_delay AS d (app, model_version, window_from, window_to, bin, labels)
      SELECT $1, version, "from", "to", bin, labels FROM i
      ON CONFLICT (app, model_version, window_from, window_to, bin) DO UPDATE SET labels = d.labels + excluded.labels)
    INSERT INTO label_window AS w (app, model_version, window_from, window_to, predictions, labelled)
    SELECT $1, version, "from", "to", 0, sum(labels) FROM i GROUP BY 2, 3, 4
    ON CONFLICT (app, model_version, window_from, window_to) DO UPDATE SET revision = w.revision + 1,
      labelled = w.labelled + excluded.labelled`,
};

/** Keeps labels that are further ahead than the clock believes. */
export const PUT_AHEAD = {
  name: "put_ahead",
  text: `INSERT INTO label_ahead (app, occurred_at, event_id, join_key, source, value, log_sequence, known_at, traceparent)
    SELECT $1, i.occurred_at, i.event_id, i.join_key, i.source, i.value, i.log_sequence, i.known_at, i.traceparent
    FROM unnest($2::text[], $3::text[], $4::smallint[], $5::float8[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
      AS i (join_key, event_id, source, value, occurred_at, log_sequence, known_at, traceparent)
    ON CONFLICT DO NOTHING`,
};

/** Takes out those that the clock now believes. */
export const TAKE_AHEAD = {
  name: "take_ahead",
  text: `DELETE FROM label_ahead WHERE app = $1 AND occurred_at <= $2
    RETURNING join_key, event_id, source, value, occurred_at::float8 AS occurred_at, log_sequence::text AS log_sequence,
      known_at::float8 AS known_at, traceparent`,
};

/** Forgets labels that no prediction can claim any more: a prediction is not later than the watermark by much. */
export const PRUNE_LABELS = {
  name: "prune_labels",
  text: "DELETE FROM label WHERE app = $1 AND known_at < $2",
};
