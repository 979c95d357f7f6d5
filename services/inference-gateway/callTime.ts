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

/** Of a call's time: kept for storing the prediction, and for the way back. */
const RECORD_SHARE = 0.25;
const RECORD_MS = 20;
const RETURN_SHARE = 0.1;
const RETURN_MS = 5;
/** A caller's deadline further away than this is not waited for. */
const MAX_BUDGET_MS = 60_000;

/**
 * Shares a call's time out.
 *
 * @param leftMs until the caller's deadline; Infinity when there is none: then the app's own counts
 */
export function callTime(arrivedAt: number, leftMs: number, appDeadlineMs: number): CallTime {
  const budget = leftMs === Infinity ? appDeadlineMs : Math.min(leftMs, MAX_BUDGET_MS);
  const answerBy = arrivedAt + budget - Math.min(RETURN_MS, budget * RETURN_SHARE);
  const modelBy = answerBy - Math.min(RECORD_MS, budget * RECORD_SHARE);
  return { arrivedAt, modelBy, answerBy, fair: budget >= appDeadlineMs };
}
