/** Columns of a review with its prediction, for `Review`. */
export const REVIEW = `r.prediction_id, r.join_key, r.reason, r.priority, r.predicted_at::float8 AS predicted_at, p.probability, p.decision,
  p.model_version, r.expires_at::float8 AS expires_at, r.leased_by, r.leased_until::float8 AS leased_until`;

const WITH_PREDICTION = "JOIN prediction p ON p.app = r.app AND p.join_key = r.join_key AND p.id = r.prediction_id";

/**
 * Offers predictions, the most urgent first, until their day has as many as it may have ($2). Uncertain ones (reason 1) only while there is
 * no truth; one that was offered as uncertain and is disputed now becomes more urgent.
 */
export const OFFER_REVIEWS = {
  name: "offer_reviews",
  text: `WITH candidate AS (
    SELECT i.*, row_number() OVER (PARTITION BY i.day ORDER BY i.priority DESC, i.prediction_id) AS place
    FROM unnest($3::text[], $4::text[], $5::smallint[], $6::float8[], $7::bigint[], $8::bigint[], $9::bigint[])
      AS i (prediction_id, join_key, reason, priority, predicted_at, day, expires_at)
    WHERE EXISTS (SELECT FROM prediction p WHERE p.app = $1 AND p.join_key = i.join_key AND p.id = i.prediction_id
        AND (i.reason <> 1 OR p.revision = 0))
      AND NOT EXISTS (SELECT FROM review o WHERE o.app = $1 AND o.prediction_id = i.prediction_id AND o.reason >= i.reason)),
  offered AS (
    INSERT INTO review AS r (app, prediction_id, join_key, reason, priority, predicted_at, day, expires_at)
    SELECT $1, prediction_id, join_key, reason, priority, predicted_at, day, expires_at FROM candidate c
    WHERE place <= $2::bigint - (SELECT count(*) FROM review o WHERE o.app = $1 AND o.day = c.day)
    ON CONFLICT (app, prediction_id) DO UPDATE SET reason = excluded.reason, priority = excluded.priority WHERE r.answered_at IS NULL
    RETURNING r.*)
  SELECT ${REVIEW} FROM offered r ${WITH_PREDICTION} ORDER BY r.priority DESC, r.prediction_id`,
};

/** What is open at event time $2, without what others have in hand at $3, wall clock, when $4 asks for it; at most $5. */
const OPEN = `SELECT r.app, r.prediction_id FROM review r ${WITH_PREDICTION}
  WHERE r.app = $1 AND r.answered_at IS NULL AND r.expires_at >= $2 AND (r.reason <> 1 OR p.revision = 0)
    AND ($4 = '' OR r.leased_by = $4 OR r.leased_until < $3)
  ORDER BY r.priority DESC, r.predicted_at, r.prediction_id LIMIT $5`;

export const LOOK_AT_REVIEWS = {
  name: "look_at_reviews",
  text: `SELECT ${REVIEW} FROM (${OPEN}) o JOIN review r USING (app, prediction_id) ${WITH_PREDICTION}
    ORDER BY r.priority DESC, r.predicted_at, r.prediction_id`,
};

/** The same, in the hands of $4 until $6, wall clock. What another call is taking at this moment is left to it. */
export const LEASE_REVIEWS = {
  name: "lease_reviews",
  text: `WITH taken AS (
    UPDATE review r SET leased_by = $4, leased_until = $6 FROM (${OPEN} FOR UPDATE OF r SKIP LOCKED) o
    WHERE r.app = o.app AND r.prediction_id = o.prediction_id RETURNING r.*)
  SELECT ${REVIEW} FROM taken r ${WITH_PREDICTION} ORDER BY r.priority DESC, r.predicted_at, r.prediction_id`,
};

export const LOCK_REVIEW = {
  name: "lock_review",
  text: `SELECT r.join_key, r.predicted_at::float8 AS predicted_at, r.expires_at::float8 AS expires_at, r.leased_by,
      r.leased_until::float8 AS leased_until, r.answered_by, r.answered_at::float8 AS answered_at, r.value, r.note,
      coalesce(a.watermark, 0)::float8 AS watermark
    FROM review r LEFT JOIN app_progress a ON a.app = r.app WHERE r.app = $1 AND r.prediction_id = $2 FOR UPDATE OF r`,
};

export const SET_ANSWER = {
  name: "set_answer",
  text: `UPDATE review SET answered_by = $3, answered_at = $4, value = $5, note = $6 WHERE app = $1 AND prediction_id = $2`,
};
