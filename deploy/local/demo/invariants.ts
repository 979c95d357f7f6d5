import type { Bus } from "@millrace/bus";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import type { Pool } from "pg";
import { backlog } from "./backlog.ts";
import { compareServedFeatures } from "./servedFeatures.ts";
import { streamMessages } from "./streamMessages.ts";
import type { FeatureWatermark } from "./watermark.ts";

/** A promise, checked against the stores. */
export interface Invariant {
  readonly promise: string;
  readonly holds: boolean;
  /** The numbers by which it was judged. */
  readonly evidence: string;
}

export interface InvariantInputs {
  readonly bus: Bus;
  /** With rights to read every schema. */
  readonly database: Pool;
  readonly watermark: FeatureWatermark;
  readonly app: string;
  /** Events whose publication was acknowledged, each counted once. */
  readonly published: number;
  /** Ids of the predictions that callers were answered with. */
  readonly answered: ReadonlySet<string>;
  /** Where the feature service answers. */
  readonly datasetAddress: string;
  /** When the predictions began and ended. */
  readonly live: { readonly fromMs: number; readonly toMs: number };
}

/** Of a longer run, the features of its last days are compared: two weeks of flights fit in memory. */
const COMPARED_MS = 14 * 86_400_000;

export async function checkInvariants(inputs: InvariantInputs): Promise<Invariant[]> {
  return [
    await everyEventOnce(inputs),
    await everyAnswerStoredOnce(inputs),
    await everyOutcomeHasItsPrediction(inputs),
    await servedAsInHistory(inputs),
    await nothingLeft(inputs),
  ];
}

async function everyEventOnce({ bus, database, app, published }: InvariantInputs): Promise<Invariant> {
  const log = await database.query<{ rows: string; ids: string }>(
    "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM ingestion.event_log WHERE app = $1",
    [app],
  );
  const other = await database.query<{ kind: string; rows: string }>(
    "SELECT kind, count(*) AS rows FROM ingestion.not_accepted WHERE app = $1 GROUP BY kind",
    [app],
  );
  const counted = new Map(other.rows.map(({ kind, rows }) => [kind, Number(rows)]));
  const [accepted, distinct] = [Number(log.rows[0]?.rows), Number(log.rows[0]?.ids)];
  const rejected = counted.get("rejected") ?? 0;
  const kept = await messageCount(bus, "REJECTED", `rejected.${app}.>`);
  const dropped = counted.get("dropped") ?? 0;
  const doubled = await doublyAccepted(database, app);
  return {
    promise: "every published event is accepted or rejected exactly once",
    holds: accepted + rejected + dropped === published && accepted === distinct && kept === rejected && doubled === 0,
    evidence: `${published} published = ${accepted} accepted + ${rejected} rejected + ${dropped} dropped; ${distinct} distinct ids; ${kept} on REJECTED`,
  };
}

/** Events of the log that are counted as rejected, too. */
async function doublyAccepted(database: Pool, app: string): Promise<number> {
  const { rows } = await database.query<{ doubled: string }>(
    `SELECT count(*) AS doubled FROM ingestion.event_log AS log
     JOIN ingestion.not_accepted AS other USING (stream_sequence) WHERE log.app = $1`,
    [app],
  );
  return Number(rows[0]?.doubled);
}

async function everyAnswerStoredOnce({ database, app, answered }: InvariantInputs): Promise<Invariant> {
  const { rows } = await database.query<{ id: string }>("SELECT id FROM feedback.prediction WHERE app = $1", [app]);
  const stored = new Set(rows.map(({ id }) => id));
  let missing = 0;
  for (const id of answered) if (!stored.has(id)) missing += 1;
  const twice = rows.length - stored.size;
  const unanswered = stored.size - (answered.size - missing);
  return {
    promise: "every Predict answer has exactly one stored prediction",
    holds: missing === 0 && twice === 0,
    evidence: `${answered.size} answers, ${rows.length} stored; ${missing} missing, ${twice} stored twice, ${unanswered} whose caller got no answer`,
  };
}

async function everyOutcomeHasItsPrediction({ bus, database, app }: InvariantInputs): Promise<Invariant> {
  const { rows } = await database.query<{ id: string }>("SELECT id FROM feedback.prediction WHERE app = $1", [app]);
  const stored = new Set(rows.map(({ id }) => id));
  const seen = new Set<string>();
  let orphans = 0;
  let repeated = 0;
  for await (const { outcomes } of streamMessages(bus, "OUTCOMES", `outcomes.${app}`, OutcomesSchema)) {
    for (const { predictionId, revision } of outcomes) {
      const key = `${predictionId}/${revision}`;
      if (!stored.has(predictionId)) orphans += 1;
      if (seen.has(key)) repeated += 1;
      seen.add(key);
    }
  }
  const labelled = await database.query<{ rows: string }>(
    "SELECT count(*) AS rows FROM feedback.prediction WHERE app = $1 AND label IS NOT NULL",
    [app],
  );
  const joined = Number(labelled.rows[0]?.rows);
  const published = new Set([...seen].map((key) => key.slice(0, key.lastIndexOf("/")))).size;
  return {
    promise: "every outcome belongs to one prediction, and is published once",
    holds: orphans === 0 && repeated === 0 && joined === published,
    evidence: `${joined} predictions with truth, ${published} published as outcomes; ${orphans} without a prediction, ${repeated} repeated`,
  };
}

async function servedAsInHistory({ bus, app, datasetAddress, live }: InvariantInputs): Promise<Invariant> {
  const fromMs = Math.max(live.fromMs, live.toMs - COMPARED_MS);
  const { compared, exact, different } = await compareServedFeatures(bus, datasetAddress, { app, ...live, fromMs });
  const first = different[0] === undefined ? "" : `; the first: ${different[0]}`;
  return {
    promise: "features that an answer calls exact are those of a dataset, to the last bit",
    holds: different.length === 0,
    evidence: `${compared} predictions compared with their rows; ${exact} said to be exact, ${different.length} of them different${first}`,
  };
}

async function nothingLeft({ bus, database, watermark }: InvariantInputs): Promise<Invariant> {
  const findings = await backlog(bus, database, watermark);
  return {
    promise: "nothing on any stream is left unprocessed",
    holds: findings.length === 0,
    evidence: findings.length === 0 ? "no consumer and no outbox has anything left" : findings.join("; "),
  };
}

async function messageCount(bus: Bus, stream: string, filter: string): Promise<number> {
  const { state } = await bus.manager.streams.info(stream, { subjects_filter: filter });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}
