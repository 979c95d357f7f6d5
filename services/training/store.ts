import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type Deployment,
  type ModelChange,
  ModelChangeSchema,
  type ModelVersion,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { QueryResultRow } from "pg";
import { RegistryTransaction } from "./registryTransaction.ts";
import type { TrialRow } from "./trialRow.ts";
import { stateOf, type VersionRow, versionOf } from "./versionRow.ts";

export interface OutboxRow {
  readonly id: string;
  /** A deletion's message is the name of a file in the object store `models`. */
  readonly kind: "deployment" | "event" | "deletion";
  readonly app: string;
  readonly message: Uint8Array;
  readonly traceparent: string;
}

interface ChangeRow extends QueryResultRow {
  readonly state: string;
  readonly who: string;
  readonly why: string;
  readonly event_time: Date;
  readonly changed_at: Date;
  readonly figures: Record<string, number>;
}

/** Versions, who serves, and what is to be published. Jobs are in `jobStore.ts`, a trial's evidence in `trialEvidence.ts`. */
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

  /** Newest first. */
  async listModels(app: string, deleted = false): Promise<ModelVersion[]> {
    const rows = await this.#database.query<VersionRow>({
      text: "SELECT state, version FROM models WHERE app = $1 AND (state <> 'deleted' OR $2) ORDER BY number DESC",
      values: [app, deleted],
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

  /** Everything that happened to a version, oldest first. */
  async history(app: string, number: number): Promise<ModelChange[]> {
    const rows = await this.#database.query<ChangeRow>({
      text: `SELECT state, who, why, event_time, changed_at, figures FROM changes WHERE app = $1 AND number = $2 ORDER BY id`,
      values: [app, number],
    });
    return rows.map(({ state, who, why, event_time, changed_at, figures }) =>
      create(ModelChangeSchema, {
        state: stateOf(state),
        who,
        why,
        eventTime: timestampFromMs(event_time.getTime()),
        changedAt: timestampFromMs(changed_at.getTime()),
        figures,
      }),
    );
  }

  /** The app's version on its way to champion, and how much of its stage's evidence has come. */
  trial(app: string): Promise<{ row: TrialRow; seen: number } | undefined> {
    return this.#database.transaction(async (client) => {
      const changes = new RegistryTransaction(client);
      const row = await changes.trial(app);
      return row === undefined ? undefined : { row, seen: await changes.evidence().seen(row) };
    });
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
