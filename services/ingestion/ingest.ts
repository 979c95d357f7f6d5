import { done, type Outcome, reject, skip } from "@millrace/bus";
import type { Clock } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import type { BatchWriter } from "./batchWriter.ts";
import { type CheckedEvent, checkEvent, needsRefresh, type RawEvent } from "./checkedEvent.ts";
import { countBatch } from "./metrics.ts";
import type { Outbox } from "./outbox.ts";
import { traceAcceptance, traceBatch } from "./tracing.ts";

export interface IngestParts {
  readonly apps: AppDirectory;
  readonly writer: BatchWriter;
  readonly outbox: Outbox;
  readonly clock: Clock;
}

/** Takes a batch of raw messages the whole way: check, store, publish; answers how each message ended. */
export function ingest(raw: readonly RawEvent[], parts: IngestParts): Promise<Outcome[]> {
  return traceBatch(raw, async () => {
    const startedAt = performance.now();
    const checked = await checkAll(raw, parts);
    const stored = await parts.writer.store(checked, traceAcceptance);
    await parts.outbox.publish(stored.outbox);
    countBatch({
      messages: raw.length,
      accepted: stored.accepted,
      duplicates: stored.duplicates,
      dropped: checked.filter(({ kind }) => kind === "dropped").length,
      rejectedReasons: checked.flatMap((event) =>
        event.kind === "rejected" ? [event.violations[0]?.reason ?? ""] : [],
      ),
      durationMs: performance.now() - startedAt,
    });
    return checked.map(outcomeOf);
  });
}

/** Checks all messages; those that do not fit an app as it is known here are checked again after asking for its newest version. */
async function checkAll(raw: readonly RawEvent[], { apps, clock }: IngestParts): Promise<CheckedEvent[]> {
  const nowMs = clock.now();
  const checked = raw.map((event) => checkEvent(event, apps, nowMs));
  const stale = new Set(checked.filter(needsRefresh).map(({ app }) => app));
  for (const app of stale) if (!(await apps.refresh(app, nowMs))) stale.delete(app);
  if (stale.size === 0) return checked;
  return checked.map((event) =>
    stale.has(event.app) && needsRefresh(event) ? checkEvent(event.raw, apps, nowMs) : event,
  );
}

function outcomeOf(event: CheckedEvent): Outcome {
  switch (event.kind) {
    case "valid":
      return done();
    case "dropped":
      return skip("noise");
    default:
      return reject(event.violations.map(({ description }) => description).join("; "), event.violations);
  }
}
