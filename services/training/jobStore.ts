import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  JobState,
  type JobStatus,
  JobStatusSchema,
  type TrainingJob,
} from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { QueryResultRow } from "pg";

/** How a job can end. */
export type JobEnd = "finished" | "failed" | "cancelled";
export type JobWord = "waiting" | "running" | JobEnd;

/** What became of a job's claim. */
export interface Claim extends QueryResultRow {
  readonly state: JobWord;
  /** How often it was started before. */
  readonly starts: number;
}

/** What a running job is doing, and which share of that is done, 0 to 1. */
export interface Progress {
  readonly stage: string;
  readonly share: number | undefined;
}

/** A process that says nothing for so long has lost its job to whoever asks for it. Below the time after which the bus delivers it again. */
const LEASE_SECONDS = 8;

const STATES: Readonly<Record<JobWord, JobState>> = {
  waiting: JobState.WAITING,
  running: JobState.RUNNING,
  finished: JobState.FINISHED,
  failed: JobState.FAILED,
  cancelled: JobState.CANCELLED,
};

/** The table of jobs. Leases go by the database's clock: no two machines' clocks are compared. */
export class JobStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Notes the job; a job seen before keeps its state. */
  async claim(job: TrainingJob): Promise<Claim> {
    const asOf = job.asOf === undefined ? null : new Date(timestampMs(job.asOf));
    await this.#database.query({
      text: `INSERT INTO jobs (id, app, trigger, reason, as_of, state) VALUES ($1, $2, $3, $4, $5, 'waiting')
             ON CONFLICT (id) DO NOTHING`,
      values: [job.id, job.app, job.trigger, job.reason, asOf],
    });
    const [row] = await this.#database.query<Claim>({
      text: "SELECT state, starts FROM jobs WHERE id = $1",
      values: [job.id],
    });
    return row as Claim;
  }

  /** Begins a job, unless one of its app is being run. @returns the id of that one, else undefined */
  start(job: TrainingJob, holder: string, nowMs: number): Promise<string | undefined> {
    return this.#database.transaction(async (client) => {
      await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`jobs of ${job.app}`]);
      const { rows } = await client.query<{ id: string }>(
        `SELECT id FROM jobs WHERE app = $1 AND state = 'running' AND lease_until > clock_timestamp() AND holder <> $2 LIMIT 1`,
        [job.app, holder],
      );
      if (rows[0] !== undefined) return rows[0].id;
      await client.query(
        `UPDATE jobs SET state = 'running', starts = starts + 1, started_at = $3, holder = $2, stage = NULL, share = NULL,
           progress_at = NULL, lease_until = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS}) WHERE id = $1`,
        [job.id, holder, new Date(nowMs)],
      );
      return undefined;
    });
  }

  /**
   * Says that a job is still at work, and how far it is.
   *
   * @returns who wants it to stop and why, if somebody does; `lost` when it has been given to another process
   */
  async beat(
    jobId: string,
    holder: string,
    progress: Progress | undefined,
    nowMs: number,
  ): Promise<{ who: string; why: string } | "lost" | undefined> {
    const [row] = await this.#database.query<{ cancelled_by: string | null; cancelled_why: string | null }>({
      text: `UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => ${LEASE_SECONDS}),
               stage = coalesce($3, stage), share = CASE WHEN $3 IS NULL THEN share ELSE $4 END,
               progress_at = CASE WHEN $3 IS NULL THEN progress_at ELSE $5 END
             WHERE id = $1 AND holder = $2 AND state = 'running' RETURNING cancelled_by, cancelled_why`,
      values: [jobId, holder, progress?.stage ?? null, progress?.share ?? null, new Date(nowMs)],
    });
    if (row === undefined) return "lost";
    return row.cancelled_by === null ? undefined : { who: row.cancelled_by, why: row.cancelled_why ?? "" };
  }

  /** Puts a job back that was stopped on purpose or by another's fault: that start does not count. */
  async putBack(jobId: string, holder: string): Promise<void> {
    await this.#database.query({
      text: `UPDATE jobs SET state = 'waiting', starts = greatest(starts - 1, 0), holder = NULL, lease_until = NULL
             WHERE id = $1 AND state = 'running' AND holder = $2`,
      values: [jobId, holder],
    });
  }

  /** How far a job is, and how it ended; one that was not taken yet is waiting. */
  async progress(jobId: string): Promise<{ state: JobWord; outcome: string }> {
    const [row] = await this.#database.query<{ state: JobWord; outcome: string | null }>({
      text: "SELECT state, outcome FROM jobs WHERE id = $1",
      values: [jobId],
    });
    return { state: row?.state ?? "waiting", outcome: row?.outcome ?? "" };
  }

  /** Notes who wants a job to stop. One that waits has ended with that: it will not begin. */
  async cancel(jobId: string, who: string, why: string): Promise<void> {
    await this.#database.query({
      text: `UPDATE jobs SET cancelled_by = coalesce(cancelled_by, $2), cancelled_why = coalesce(cancelled_why, $3)
             WHERE id = $1 AND state IN ('waiting', 'running')`,
      values: [jobId, who, why],
    });
  }

  async status(jobId: string): Promise<JobStatus | undefined> {
    return (await this.#list("WHERE id = $1", [jobId]))[0];
  }

  /** Those that wait or run, oldest first, then at most `limit` of those that ended, newest first. Empty app: of all. */
  async list(app: string, limit: number): Promise<JobStatus[]> {
    const ofApp = "($1 = '' OR app = $1)";
    return [
      ...(await this.#list(`WHERE state IN ('waiting', 'running') AND ${ofApp} ORDER BY noted_at, id`, [app])),
      ...(await this.#list(
        `WHERE state NOT IN ('waiting', 'running') AND ${ofApp} ORDER BY finished_at DESC, id LIMIT $2`,
        [app, limit],
      )),
    ];
  }

  async #list(where: string, values: unknown[]): Promise<JobStatus[]> {
    return (await this.#database.query<JobRow>({ text: `SELECT * FROM jobs ${where}`, values })).map(statusOf);
  }
}

interface JobRow extends QueryResultRow {
  readonly id: string;
  readonly app: string;
  readonly trigger: string;
  readonly reason: string;
  readonly as_of: Date | null;
  readonly state: JobWord;
  readonly starts: number;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly outcome: string | null;
  readonly stage: string | null;
  readonly share: number | null;
  readonly progress_at: Date | null;
  readonly cancelled_by: string | null;
  readonly cancelled_why: string | null;
}

function statusOf(row: JobRow): JobStatus {
  const at = <Name extends string>(name: Name, time: Date | null) =>
    (time === null ? {} : { [name]: timestampFromMs(time.getTime()) }) as {
      [Key in Name]?: ReturnType<typeof timestampFromMs>;
    };
  const running = row.state === "running";
  return create(JobStatusSchema, {
    job: { id: row.id, app: row.app, trigger: row.trigger, reason: row.reason, ...at("asOf", row.as_of) },
    state: STATES[row.state],
    starts: row.starts,
    outcome: row.outcome ?? "",
    stage: running ? (row.stage ?? "") : "",
    cancelling: row.cancelled_by === null ? "" : `${row.cancelled_by}: ${row.cancelled_why}`,
    ...at("startedAt", row.started_at),
    ...at("finishedAt", row.finished_at),
    ...at("progressAt", running ? row.progress_at : null),
    ...(running && row.share !== null ? { share: row.share } : {}),
  });
}
