import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import {
  type Deployment,
  DeploymentSchema,
  type ModelEvent,
  ModelEventSchema,
  ModelState,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { PoolClient, QueryResultRow } from "pg";

/** What became of a job's claim. */
export interface Claim {
  readonly state: "waiting" | "running" | "finished" | "failed";
  /** How often it was started before. */
  readonly starts: number;
}

/** Who did something, why, and when: event time and wall clock, ms. */
export interface Change {
  readonly who: string;
  readonly why: string;
  readonly eventTimeMs: number;
  readonly nowMs: number;
}

export interface OutboxRow {
  readonly id: string;
  readonly kind: "deployment" | "event";
  readonly app: string;
  readonly message: Uint8Array;
  readonly traceparent: string;
}

const STATE_WORD: Readonly<Record<ModelState, string>> = {
  [ModelState.UNSPECIFIED]: "candidate",
  [ModelState.CANDIDATE]: "candidate",
  [ModelState.REJECTED]: "rejected",
  [ModelState.CHAMPION]: "champion",
  [ModelState.RETIRED]: "retired",
};

const STATE_OF = new Map(Object.entries(STATE_WORD).map(([state, word]) => [word, Number(state) as ModelState]));

interface VersionRow extends QueryResultRow {
  readonly state: string;
  readonly version: Uint8Array;
}

/** The training service's only SQL. */
export class TrainingStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Runs `work` while no other change of the app's models can happen. */
  transaction<Result>(app: string, work: (changes: RegistryTransaction) => Promise<Result>): Promise<Result> {
    return this.#database.transaction(async (client) => {
      await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`models of ${app}`]);
      return work(new RegistryTransaction(client));
    });
  }

  /** Notes the job; a job seen before keeps its state. */
  async claim(job: TrainingJob): Promise<Claim> {
    const asOf = job.asOf === undefined ? null : new Date(timestampMs(job.asOf));
    await this.#database.query({
      text: `INSERT INTO jobs (id, app, trigger, reason, as_of, state) VALUES ($1, $2, $3, $4, $5, 'waiting')
             ON CONFLICT (id) DO NOTHING`,
      values: [job.id, job.app, job.trigger, job.reason, asOf],
    });
    const [row] = await this.#database.query<Claim & QueryResultRow>({
      text: "SELECT state, starts FROM jobs WHERE id = $1",
      values: [job.id],
    });
    return row as Claim;
  }

  async start(jobId: string, nowMs: number): Promise<void> {
    await this.#database.query({
      text: "UPDATE jobs SET state = 'running', starts = starts + 1, started_at = $2 WHERE id = $1",
      values: [jobId, new Date(nowMs)],
    });
  }

  /** Puts a job back that was stopped on purpose or by another's fault: that start does not count. */
  async putBack(jobId: string): Promise<void> {
    await this.#database.query({
      text: "UPDATE jobs SET state = 'waiting', starts = greatest(starts - 1, 0) WHERE id = $1 AND state = 'running'",
      values: [jobId],
    });
  }

  /** Newest first. */
  async listModels(app: string): Promise<ModelVersion[]> {
    const rows = await this.#database.query<VersionRow>({
      text: "SELECT state, version FROM models WHERE app = $1 ORDER BY number DESC",
      values: [app],
    });
    return rows.map(versionOf);
  }

  async getModel(app: string, number: number): Promise<ModelVersion | undefined> {
    const rows = await this.#database.query<VersionRow>({
      text: "SELECT state, version FROM models WHERE app = $1 AND number = $2",
      values: [app, number],
    });
    return rows.map(versionOf)[0];
  }

  async champion(app: string): Promise<ModelVersion | undefined> {
    const rows = await this.#database.query<VersionRow>({
      text: "SELECT state, version FROM models WHERE app = $1 AND state = 'champion'",
      values: [app],
    });
    return rows.map(versionOf)[0];
  }

  /** The version that a job made. */
  async modelOfJob(jobId: string): Promise<ModelVersion | undefined> {
    const rows = await this.#database.query<VersionRow>({
      text: "SELECT state, version FROM models WHERE job_id = $1",
      values: [jobId],
    });
    return rows.map(versionOf)[0];
  }

  /** How far a job is, and how it ended; one that was not taken yet is waiting. */
  async jobProgress(jobId: string): Promise<{ state: Claim["state"]; outcome: string }> {
    const [row] = await this.#database.query<{ state: Claim["state"]; outcome: string | null }>({
      text: "SELECT state, outcome FROM jobs WHERE id = $1",
      values: [jobId],
    });
    return { state: row?.state ?? "waiting", outcome: row?.outcome ?? "" };
  }

  /** The latest event time at which the app asked for a training, ms. */
  async latestEventTimeMs(app: string): Promise<number | undefined> {
    const [row] = await this.#database.query<{ latest: Date | null }>({
      text: `SELECT greatest((SELECT max(as_of) FROM jobs WHERE app = $1), (SELECT max(since) FROM deployments WHERE app = $1)) AS latest`,
      values: [app],
    });
    return row?.latest?.getTime();
  }

  /** Who should serve, for every app. */
  async deployments(): Promise<Deployment[]> {
    const apps = await this.#database.query<{ app: string }>({ text: "SELECT app FROM deployments ORDER BY app" });
    const deployments: Deployment[] = [];
    for (const { app } of apps) {
      const deployment = await this.#database.transaction((client) => new RegistryTransaction(client).deployment(app));
      if (deployment !== undefined) deployments.push(deployment);
    }
    return deployments;
  }

  /** Gives what is still to be published, in order, and forgets it once `publish` is through. */
  drainOutbox(publish: (rows: readonly OutboxRow[]) => Promise<void>): Promise<void> {
    return this.#database.transaction(async (client) => {
      const { rows } = await client.query<OutboxRow>(
        "SELECT id, kind, app, message, traceparent FROM outbox ORDER BY id FOR UPDATE",
      );
      if (rows.length === 0) return;
      await publish(rows);
      await client.query("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [rows.map((row) => row.id)]);
    });
  }
}

/** Reads and changes of one transaction. */
export class RegistryTransaction {
  readonly #client: PoolClient;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  /** The job's state now; undefined when there is no such job. */
  async jobState(jobId: string): Promise<Claim["state"] | undefined> {
    const { rows } = await this.#client.query<Claim>("SELECT state, starts FROM jobs WHERE id = $1 FOR UPDATE", [
      jobId,
    ]);
    return rows[0]?.state;
  }

  async endJob(jobId: string, state: "finished" | "failed", outcome: string, nowMs: number): Promise<void> {
    await this.#client.query("UPDATE jobs SET state = $2, outcome = $3, finished_at = $4 WHERE id = $1", [
      jobId,
      state,
      outcome,
      new Date(nowMs),
    ]);
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
    return create(DeploymentSchema, {
      app,
      since,
      reason: row.reason,
      ...(champion === undefined ? {} : { champion }),
      ...(previous === undefined ? {} : { previous }),
    });
  }

  /** Sets who serves, and puts it into the outbox. */
  async setDeployment(deployment: Deployment, traceparent: string): Promise<void> {
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
    await this.#send("deployment", deployment.app, toBinary(DeploymentSchema, deployment), traceparent);
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

  async #note({ app, number, state }: ModelVersion, { who, why, eventTimeMs, nowMs }: Change): Promise<void> {
    await this.#client.query(
      `INSERT INTO changes (app, number, state, who, why, event_time, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [app, number, STATE_WORD[state], who, why, new Date(eventTimeMs), new Date(nowMs)],
    );
  }
}

/** The stored bytes are those of the registration; the state has a column of its own. */
function versionOf({ state, version }: VersionRow): ModelVersion {
  const model = fromBinary(ModelVersionSchema, version);
  model.state = STATE_OF.get(state) ?? ModelState.CANDIDATE;
  return model;
}
