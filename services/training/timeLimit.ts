import { durationToMs, formatDuration } from "@millrace/app";
import type { Model } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MillraceError } from "@millrace/runtime";

const DEFAULT_LIMIT_MS = 2 * 3_600_000;

/**
 * Does something that ends when its time is over.
 *
 * @throws `deadline_exceeded` when it did
 */
export async function withinTimeLimit<Result>(
  model: Pick<Model, "timeLimit">,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limitMs = durationToMs(model.timeLimit) ?? DEFAULT_LIMIT_MS;
  const timeout = AbortSignal.timeout(limitMs);
  try {
    return await work(AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (!timeout.aborted || signal.aborted) throw error;
    const advice = "allow more, or ask for less: a shorter model.history, a smaller model.search, fewer candidates";
    throw new MillraceError(
      "deadline_exceeded",
      `The training took longer than ${formatDuration(limitMs)} (model.time_limit) and was ended; ${advice}`,
      { cause: error },
    );
  }
}
