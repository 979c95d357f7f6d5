import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Database } from "@millrace/db";
import { type ModelOrigin, ModelOriginSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import {
  type QuantizeOptions,
  QuantizeOptionsSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import type { QueryResultRow } from "pg";

/** A model that was taken and checked, and the job that judges it. */
export interface Upload {
  readonly jobId: string;
  readonly app: string;
  /** Equal for the same file with the same columns and options. */
  readonly requestHash: string;
  /** The file in the form of a version, in the object store `models`. */
  readonly artefact: string;
  readonly columns: readonly string[];
  readonly origin: ModelOrigin;
  readonly quantize: QuantizeOptions | undefined;
}

interface UploadRow extends QueryResultRow {
  readonly job_id: string;
  readonly app: string;
  readonly request_hash: string;
  readonly artefact: string;
  readonly columns: string[];
  readonly origin: Uint8Array;
  readonly quantize: Uint8Array | null;
}

/** The table of uploads. */
export class Uploads {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The upload that a job judges. */
  async ofJob(jobId: string): Promise<Upload | undefined> {
    const rows = await this.#database.query<UploadRow>({
      text: "SELECT * FROM uploads WHERE job_id = $1",
      values: [jobId],
    });
    return rows.map(uploadOf)[0];
  }

  /** The upload that was made of the same request and whose judging has not failed. */
  async like(app: string, requestHash: string): Promise<Upload | undefined> {
    const rows = await this.#database.query<UploadRow>({
      text: `SELECT uploads.* FROM uploads LEFT JOIN jobs ON jobs.id = job_id
             WHERE uploads.app = $1 AND request_hash = $2 AND coalesce(jobs.state, '') NOT IN ('failed', 'cancelled') LIMIT 1`,
      values: [app, requestHash],
    });
    return rows.map(uploadOf)[0];
  }

  /** Keeps an upload, unless another call has kept the same meanwhile. @returns the one that is kept */
  async keep(upload: Upload): Promise<Upload> {
    return this.#database.transaction(async (client) => {
      await client.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`upload ${upload.requestHash}`]);
      const known = await this.like(upload.app, upload.requestHash);
      if (known !== undefined) return known;
      await client.query(
        `INSERT INTO uploads (job_id, app, request_hash, artefact, columns, origin, quantize) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
        [
          upload.jobId,
          upload.app,
          upload.requestHash,
          upload.artefact,
          upload.columns,
          toBinary(ModelOriginSchema, upload.origin),
          upload.quantize === undefined ? null : toBinary(QuantizeOptionsSchema, upload.quantize),
        ],
      );
      return upload;
    });
  }
}

function uploadOf(row: UploadRow): Upload {
  return {
    jobId: row.job_id,
    app: row.app,
    requestHash: row.request_hash,
    artefact: row.artefact,
    columns: row.columns,
    origin: fromBinary(ModelOriginSchema, row.origin),
    quantize: row.quantize === null ? undefined : fromBinary(QuantizeOptionsSchema, row.quantize),
  };
}
