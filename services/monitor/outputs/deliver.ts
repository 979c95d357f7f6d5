import { decode, done, type JsMsg, type Outcome, reject, retry, skip } from "@millrace/bus";
import { type Alert, AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { describeError, type Logger } from "@millrace/runtime";

export interface HttpPost {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Somebody who is told of alerts by HTTP. */
export interface Receiver {
  /** `webhook`, `alertmanager`; the name under which is remembered what it has been told. */
  readonly name: string;
  readonly url: string;
  post(alert: Alert, delivery: string): HttpPost;
}

const TIMEOUT_MS = 10_000;
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 300_000;
/** Some two days at the longest delay. */
const MOST_TRIES = 600;

/**
 * Tells a receiver of what is published on ALERTS, in order, once each: a message is acknowledged when it has been taken, so that neither a
 * restart nor a receiver that is away loses one. Tried again with growing delays; refused for good (4xx, but for 408 and 429) it lands on REJECTED.
 */
export function deliverTo(
  receiver: Receiver,
  logger: Logger,
  fetchUrl: typeof fetch = fetch,
): (messages: readonly JsMsg[]) => Promise<Outcome[]> {
  return async (messages) => {
    const outcomes: Outcome[] = [];
    for (const message of messages) outcomes.push(await deliver(receiver, message, logger, fetchUrl));
    return outcomes;
  };
}

async function deliver(receiver: Receiver, message: JsMsg, logger: Logger, fetchUrl: typeof fetch): Promise<Outcome> {
  let alert: Alert;
  try {
    alert = decode(AlertSchema, message.data);
  } catch (error) {
    return reject(describeError(error));
  }
  if (!isTold(alert)) return skip("muted, or somebody has taken it on");
  const { body, headers } = receiver.post(alert, `${message.info.stream}-${message.seq}`);
  const tries = message.info.deliveryCount;
  let problem: string;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetchUrl(receiver.url, { method: "POST", body, headers, signal });
    await answer.body?.cancel();
    if (answer.ok) return done();
    problem = `${receiver.name} answered ${answer.status}`;
    if (isFinal(answer.status)) {
      logger.error({ alert: alert.id, status: answer.status }, `${problem} to ${alert.id}: it will not be told again`);
      return reject(problem);
    }
  } catch (error) {
    problem = `${receiver.name} is not reached: ${describeError(error)}`;
  }
  if (tries >= MOST_TRIES) return reject(problem);
  logger.warn({ alert: alert.id, tries }, `${problem}; it is told again later`);
  return retry(Math.min(FIRST_DELAY_MS * 2 ** Math.min(tries - 1, 20), LONGEST_DELAY_MS), problem);
}

/** What is muted is told to nobody; of what somebody has taken on, only the end. */
export function isTold({ muted, acknowledgement, state }: Alert): boolean {
  return !muted && (acknowledgement === undefined || state === AlertState.RESOLVED);
}

const isFinal = (status: number): boolean => status >= 400 && status < 500 && status !== 408 && status !== 429;
