import type { Clock, Logger } from "@millrace/runtime";
import type { JobParts } from "./job.ts";

/** Lines come no closer together than this, unless something else begins. */
const EVERY_MS = 5_000;

/** Writes into the log how far a job is. */
export function progressLog(logger: Logger, clock: Clock): JobParts["onProgress"] {
  let last = { stage: "", atMs: -Infinity };
  return ({ id: job, app }, what, share) => {
    const [stage = ""] = what.split(":");
    const nowMs = clock.now();
    if (stage === last.stage && nowMs - last.atMs < EVERY_MS) return;
    last = { stage, atMs: nowMs };
    logger.info({ job, app, what, percent: Math.round(share * 100) }, `training of ${app}: ${what}`);
  };
}
