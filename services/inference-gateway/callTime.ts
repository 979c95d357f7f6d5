/** A call's time, in milliseconds on the gateway's clock. */
export interface CallTime {
  readonly arrivedAt: number;
  /** By then a model has to have answered. */
  readonly modelBy: number;
  /** By then the answer has to be on its way. */
  readonly answerBy: number;
  /** The call has the app's own time or more: a model that exceeds it has failed, not the caller. */
  readonly fair: boolean;
}

/** Of a call's time: kept for storing its predictions, and for the way back. */
const RECORD_SHARE = 0.25;
const RECORD_MS = 20;
const RETURN_SHARE = 0.1;
const RETURN_MS = 5;
/** For every further question of a batch: of one that the model leaves in the lurch all are decided, stored and answered at once. */
const RECORD_MS_PER_QUESTION = 0.15;
const RETURN_MS_PER_QUESTION = 0.05;
const BATCH_RECORD_SHARE = 0.5;
/** A caller's deadline further away than this is not waited for. */
const MAX_BUDGET_MS = 60_000;

/**
 * Shares a call's time out.
 *
 * @param leftMs until the caller's deadline; Infinity when there is none: then the app's own counts
 * @param questions that the call asks
 */
export function callTime(arrivedAt: number, leftMs: number, appDeadlineMs: number, questions = 1): CallTime {
  const budget = leftMs === Infinity ? appDeadlineMs : Math.min(leftMs, MAX_BUDGET_MS);
  const returnMs = RETURN_MS + RETURN_MS_PER_QUESTION * (questions - 1);
  const recordMs = RECORD_MS + RECORD_MS_PER_QUESTION * (questions - 1);
  const answerBy = arrivedAt + budget - Math.min(returnMs, budget * RETURN_SHARE);
  const recordShare = questions === 1 ? RECORD_SHARE : BATCH_RECORD_SHARE;
  const modelBy = answerBy - Math.min(recordMs, budget * recordShare);
  // A row of a batch may be late because of the others.
  return { arrivedAt, modelBy, answerBy, fair: questions === 1 && budget >= appDeadlineMs };
}
