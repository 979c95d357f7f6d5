import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Deployment,
  DeploymentSchema,
  type ModelEvent,
  ModelEventSchema,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { PoolClient } from "pg";
import type { JobEnd, JobWord } from "./jobStore.ts";
import { withTrial } from "./promotion.ts";
import type { OutboxRow } from "./store.ts";
import { TrialEvidence } from "./trialEvidence.ts";
import { type Look, type NewTrial, rolesOf, TRIAL_COLUMNS, type TrialRow } from "./trialRow.ts";
import { STATE_WORD, type VersionRow, versionOf } from "./versionRow.ts";

/** Who did something, why, and when: event time and wall clock, ms. */
export interface Change {
  readonly who: string;
  readonly why: string;
  readonly eventTimeMs: number;
  readonly nowMs: number;
  /** What it was decided by. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** Reads and changes of one transaction. */
export class RegistryTransaction {
  readonly #client: PoolClient;
  #changed = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** Whether a version has changed. */
  get changed(): boolean {
    return this.#changed;
  }

  /** The job's state now; undefined when there is no such job. */
  async jobState(jobId: string): Promise<JobWord | undefined> {
    const { rows } = await this.#client.query<{ state: JobWord }>("SELECT state FROM jobs WHERE id = $1 FOR UPDATE", [
      jobId,
    ]);
    return rows[0]?.state;
  }

  async endJob(jobId: string, state: JobEnd, outcome: string, nowMs: number): Promise<void> {
    await this.#client.query(
      "UPDATE jobs SET state = $2, outcome = $3, finished_at = $4, holder = NULL, lease_until = NULL WHERE id = $1",
      [jobId, state, outcome, new Date(nowMs)],
    );
  }

  /** A job of the app that has begun and has not ended. */
  async openJob(app: string): Promise<string | undefined> {
    const { rows } = await this.#client.query<{ id: string }>(
      "SELECT id FROM jobs WHERE app = $1 AND state IN ('waiting', 'running') ORDER BY noted_at LIMIT 1",
      [app],
    );
    return rows[0]?.id;
  }

  async nextNumber(app: string): Promise<number> {
    const { rows } = await this.#client.query<{ next: number }>(
      "SELECT coalesce(max(number), 0) + 1 AS next FROM models WHERE app = $1",
      [app],
    );
    return rows[0]?.next ?? 1;
  }

  async insertModel(version: ModelVersion, change: Change): Promise<void> {
    await this.#client.query(
      `INSERT INTO models (app, number, state, job_id, artefact, dataset_hash, metrics, champion_metrics, verdict, version, registered_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        version.app,
        version.number,
        STATE_WORD[version.state],
        version.jobId,
        version.artefact,
        version.datasetHash,
        JSON.stringify(version.metrics),
        JSON.stringify(version.championMetrics),
        version.verdict,
        toBinary(ModelVersionSchema, version),
        new Date(change.nowMs),
      ],
    );
    await this.#note(version, change);
  }

  async setState(version: ModelVersion, change: Change): Promise<void> {
    await this.#client.query("UPDATE models SET state = $3 WHERE app = $1 AND number = $2", [
      version.app,
      version.number,
      STATE_WORD[version.state],
    ]);
    await this.#note(version, change);
  }

  async model(app: string, number: number): Promise<ModelVersion | undefined> {
    const { rows } = await this.#client.query<VersionRow>(
      "SELECT state, version FROM models WHERE app = $1 AND number = $2",
      [app, number],
    );
    return rows.map(versionOf)[0];
  }

  /** Who should serve: the champion, the one before, and the version that is on its way, or watches a probation. */
  async deployment(app: string): Promise<Deployment | undefined> {
    const { rows } = await this.#client.query<{
      champion: number;
      previous: number | null;
      since: Date;
      reason: string;
    }>("SELECT champion, previous, since, reason FROM deployments WHERE app = $1", [app]);
    const [row] = rows;
    if (row === undefined) return undefined;
    const champion = await this.model(app, row.champion);
    const previous = row.previous === null ? undefined : await this.model(app, row.previous);
    const since = timestampFromMs(row.since.getTime());
    const deployment = create(DeploymentSchema, {
      app,
      since,
      reason: row.reason,
      ...(champion === undefined ? {} : { champion }),
      ...(previous === undefined ? {} : { previous }),
    });
    const trial = await this.trial(app);
    const model = trial === undefined ? undefined : await this.model(app, rolesOf(trial).beside);
    return trial === undefined || model === undefined ? deployment : withTrial(deployment, trial, model);
  }

  /** Sets who serves. */
  async setDeployment(deployment: Deployment): Promise<void> {
    await this.#client.query(
      `INSERT INTO deployments (app, champion, previous, since, reason) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (app) DO UPDATE SET champion = EXCLUDED.champion, previous = EXCLUDED.previous,
         since = EXCLUDED.since, reason = EXCLUDED.reason`,
      [
        deployment.app,
        deployment.champion?.number,
        deployment.previous?.number ?? null,
        new Date(deployment.since === undefined ? 0 : timestampMs(deployment.since)),
        deployment.reason,
      ],
    );
  }

  /** Puts who serves now, trial included, into the outbox. */
  async sendDeployment(app: string, traceparent: string): Promise<Deployment | undefined> {
    const deployment = await this.deployment(app);
    if (deployment !== undefined)
      await this.#send("deployment", app, toBinary(DeploymentSchema, deployment), traceparent);
    return deployment;
  }

  /** The version of the app that is on its way, or on probation; `queued`: the one that waits for the end of that. */
  async trial(app: string, queued = false): Promise<TrialRow | undefined> {
    const { rows } = await this.#client.query<TrialRow>(
      `SELECT ${TRIAL_COLUMNS} FROM trials WHERE app = $1 AND (stage = 'queued') = $2 FOR UPDATE`,
      [app, queued],
    );
    return rows[0];
  }

  /** Begins a trial or a stage of it, with no evidence yet. */
  async setTrial(trial: NewTrial): Promise<void> {
    await this.#client.query(
      `INSERT INTO trials (app, number, champion, stage, policy, since, waiting) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (app, number) DO UPDATE SET champion = EXCLUDED.champion, stage = EXCLUDED.stage, since = EXCLUDED.since,
         waiting = EXCLUDED.waiting, looks = 0, evidence = '{}'`,
      [trial.app, trial.number, trial.champion, trial.stage, trial.policy, new Date(trial.sinceMs), trial.waiting],
    );
    if (trial.stage !== "queued") await this.#client.query("DELETE FROM trial_answers WHERE app = $1", [trial.app]);
  }

  async noteLook(trial: Pick<TrialRow, "app" | "number">, look: Look): Promise<void> {
    await this.#client.query(
      "UPDATE trials SET looks = $3, waiting = $4, evidence = $5 WHERE app = $1 AND number = $2",
      [trial.app, trial.number, look.looks, look.waiting, look.evidence],
    );
  }

  async endTrial({ app, number, stage }: Pick<TrialRow, "app" | "number" | "stage">): Promise<void> {
    await this.#client.query("DELETE FROM trials WHERE app = $1 AND number = $2", [app, number]);
    if (stage !== "queued") await this.#client.query("DELETE FROM trial_answers WHERE app = $1", [app]);
  }

  /** The evidence of the app's trial, as this transaction sees it. */
  evidence(): TrialEvidence {
    return new TrialEvidence((statement) => this.#client.query(statement).then(({ rows }) => rows));
  }

  /** Of a version's files, those that no other version and no upload needs. */
  async filesOnlyOf(version: ModelVersion): Promise<string[]> {
    const own = new Set(filesOf(version));
    const { rows } = await this.#client.query<VersionRow>(
      "SELECT state, version FROM models WHERE state <> 'deleted' AND NOT (app = $1 AND number = $2)",
      [version.app, version.number],
    );
    for (const other of rows) for (const file of filesOf(versionOf(other))) own.delete(file);
    return [...own];
  }

  /** The same file may be uploaded anew. */
  async forgetUpload(jobId: string): Promise<void> {
    await this.#client.query("DELETE FROM uploads WHERE job_id = $1", [jobId]);
  }

  async sendDeletion(app: string, file: string): Promise<void> {
    await this.#send("deletion", app, Buffer.from(file), "");
  }

  async sendEvent(event: ModelEvent, traceparent: string): Promise<void> {
    await this.#send("event", event.app, toBinary(ModelEventSchema, event), traceparent);
  }

  async #send(kind: OutboxRow["kind"], app: string, message: Uint8Array, traceparent: string): Promise<void> {
    await this.#client.query("INSERT INTO outbox (kind, app, message, traceparent) VALUES ($1, $2, $3, $4)", [
      kind,
      app,
      message,
      traceparent,
    ]);
  }

  async #note({ app, number, state }: ModelVersion, change: Change): Promise<void> {
    this.#changed = true;
    const { who, why, eventTimeMs, nowMs, figures = {} } = change;
    await this.#client.query(
      `INSERT INTO changes (app, number, state, who, why, event_time, changed_at, figures) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [app, number, STATE_WORD[state], who, why, new Date(eventTimeMs), new Date(nowMs), JSON.stringify(figures)],
    );
  }
}

/** The file that serves, the one that was uploaded, and the one before it was quantized. */
const filesOf = ({ artefact, origin, quantization }: ModelVersion): string[] =>
  [artefact, origin?.sha256, quantization?.originalArtefact].filter(
    (file) => file !== undefined && file !== "",
  ) as string[];
