import { done, type Outcome, type RejectedPart, reject, skip } from "@millrace/bus";
import type { Clock } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import type { BatchWriter } from "./batchWriter.ts";
import { type CheckedEvent, checkEvent, needsRefresh, type RawEvent, type RejectedEvent } from "./checkedEvent.ts";
import { countBatch } from "./metrics.ts";
import type { Outbox } from "./outbox.ts";
import type { Retention } from "./retention.ts";
import type { NotAccepted } from "./store.ts";
import { traceAcceptance, traceBatch } from "./tracing.ts";
import { splitByBytes, splitIntoTransactions } from "./transactionSize.ts";
import type { Turns } from "./turns.ts";

export interface IngestParts {
  readonly apps: AppDirectory;
  readonly writer: BatchWriter;
  readonly outbox: Outbox;
  readonly retention: Retention;
  /** Whoever stores waits for the others. */
  readonly turns: Turns;
  readonly clock: Clock;
}

/** Takes a batch of raw messages the whole way: check, store, publish; answers how each message ended. */
export function ingest(raw: readonly RawEvent[], parts: IngestParts): Promise<Outcome[]> {
  return traceBatch(raw, async () => {
    const outcomes: Outcome[] = [];
    for (const some of splitByBytes(raw)) {
      const messages = await checkAll(some, parts);
      for (const batch of splitIntoTransactions(messages)) await storeBatch(batch, parts);
      for (const events of messages) outcomes.push(outcomeOf(events));
    }
    return outcomes;
  });
}

/** Stores the events of a batch and publishes those that are new. Answers which of them were duplicates. */
export function storeBatch(
  messages: readonly (readonly CheckedEvent[])[],
  { writer, outbox, turns }: IngestParts,
): Promise<readonly NotAccepted[]> {
  // Batches are published in the order in which they were stored.
  return turns.take(async () => {
    const startedAt = performance.now();
    const checked = messages.flat();
    const stored = await writer.store(checked, traceAcceptance);
    await outbox.publish(stored.outbox);
    const { accepted, late, duplicates } = stored;
    countBatch({
      messages: messages.length,
      checked,
      accepted,
      late,
      duplicates: duplicates.length,
      durationMs: performance.now() - startedAt,
    });
    return duplicates;
  });
}

/** Checks all messages; those that do not fit an app as it is known here are checked again after asking for its newest version. */
export async function checkAll(
  raw: readonly RawEvent[],
  { apps, clock, retention }: IngestParts,
): Promise<CheckedEvent[][]> {
  const nowMs = clock.now();
  const limits = { nowMs, keptFromMs: (app: string) => retention.keptFromMs(app) };
  const checked = raw.map((message) => checkEvent(message, apps, limits));
  const stale = new Set<string>();
  for (const events of checked) for (const event of events) if (needsRefresh(event)) stale.add(event.app);
  for (const app of stale) if (!(await apps.refresh(app, nowMs))) stale.delete(app);
  if (stale.size === 0) return checked;
  return checked.map((events, index) =>
    events.some((event) => stale.has(event.app) && needsRefresh(event))
      ? checkEvent(raw[index] as RawEvent, apps, limits)
      : events,
  );
}

/** A message of several events is done when each is stored, or on REJECTED. */
function outcomeOf(events: readonly CheckedEvent[]): Outcome {
  const [first] = events;
  if (first === undefined) return skip("no events");
  if (first.raw.isPart === true) return done(events.filter((event) => event.kind === "rejected").map(rejectedPartOf));
  switch (first.kind) {
    case "valid":
      return done();
    case "dropped":
      return skip("noise");
    default:
      return reject(reasonOf(first), first.violations);
  }
}

function rejectedPartOf(event: RejectedEvent): RejectedPart {
  const { place, data, contentType } = event.raw;
  return { place, data, contentType, reason: reasonOf(event), violations: event.violations };
}

const reasonOf = ({ violations }: RejectedEvent): string => violations.map(({ description }) => description).join("; ");
