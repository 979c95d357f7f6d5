import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Database } from "@millrace/db";
import { type ExternalResult, ExternalResultSchema } from "@millrace/proto/millrace/training/v1/external_pb.ts";
import type { QueryResultRow } from "pg";

/** What a trainer outside of Millrace was asked for. */
export interface ExternalTask {
  readonly id: string;
  readonly trainer: string;
  readonly deadlineMs: number;
  readonly result: ExternalResult | undefined;
}

interface TaskRow extends QueryResultRow {
  readonly id: string;
  readonly trainer: string;
  readonly deadline: Date;
  readonly result: Uint8Array | null;
}

/** The table of what trainers outside were asked for, and what they answered. */
export class ExternalTasks {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Notes a task; one that is known keeps its deadline and its result, so that a job that is begun again goes on with them. */
  async ask(jobId: string, { id, trainer, deadlineMs }: Omit<ExternalTask, "result">): Promise<ExternalTask> {
    await this.#database.query({
      text: `INSERT INTO external_tasks (id, job_id, trainer, deadline) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
      values: [id, jobId, trainer, new Date(deadlineMs)],
    });
    return (await this.get(id)) as ExternalTask;
  }

  async get(id: string): Promise<ExternalTask | undefined> {
    const [row] = await this.#database.query<TaskRow>({
      text: "SELECT id, trainer, deadline, result FROM external_tasks WHERE id = $1",
      values: [id],
    });
    if (row === undefined) return undefined;
    const result = row.result === null ? undefined : fromBinary(ExternalResultSchema, row.result);
    return { id: row.id, trainer: row.trainer, deadlineMs: row.deadline.getTime(), result };
  }

  /** Keeps the first result of a task. @returns whether the trainer was asked for it */
  async answer(result: ExternalResult): Promise<boolean> {
    const rows = await this.#database.query({
      text: "UPDATE external_tasks SET result = coalesce(result, $3) WHERE id = $1 AND trainer = $2 RETURNING id",
      values: [result.id, result.trainer, toBinary(ExternalResultSchema, result)],
    });
    return rows.length > 0;
  }
}
