import type { Bus } from "@millrace/bus";
import type { Pool } from "pg";
import type { FeatureWatermark } from "./watermark.ts";

/** The consumers that every running system has; one that is missing has not even begun. */
const CONSUMED = ["EVENTS", "ACCEPTED", "PREDICTIONS", "OUTCOMES", "TRAINING", "MODELS", "ALERTS"] as const;
/** Services that publish from an outbox in their schema. */
const OUTBOXES = ["ingestion", "feedback", "monitor", "training"] as const;

/**
 * What is still on its way, one phrase each; empty when everything that was published has been handled and everything that was
 * stored has been published.
 */
export async function backlog(bus: Bus, database: Pool, watermark: FeatureWatermark): Promise<string[]> {
  const findings: string[] = [];
  for (const stream of CONSUMED) {
    for await (const { name, config, num_pending, num_ack_pending } of bus.manager.consumers.list(stream)) {
      // Consumers without a name are somebody's short look; the feature service's tells its place by its watermark.
      if (config.durable_name === undefined) continue;
      const left = num_pending + num_ack_pending;
      if (left > 0) findings.push(`${name} has ${left} message(s) of ${stream} to handle`);
    }
  }
  const { state } = await bus.manager.streams.info("ACCEPTED");
  if (watermark.streamSequence < state.last_seq) {
    findings.push(`features are at ${watermark.streamSequence} of ${state.last_seq} of ACCEPTED`);
  }
  for (const service of OUTBOXES) {
    const { rows } = await database.query<{ left: string }>(`SELECT count(*) AS left FROM ${service}.outbox`);
    const left = Number(rows[0]?.left ?? 0);
    if (left > 0) findings.push(`the outbox of ${service} holds ${left} message(s)`);
  }
  return findings;
}
