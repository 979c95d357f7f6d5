import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { getApp } from "@millrace/app";
import { type Bus, decode, trainingJobSubject } from "@millrace/bus";
import { JobState, type JobStatus, TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import {
  type CancelJobRequest,
  type CancelJobResponse,
  CancelJobResponseSchema,
  type ListJobsRequest,
  type ListJobsResponse,
  ListJobsResponseSchema,
  type RequestTrainingRequest,
  type RequestTrainingResponse,
  RequestTrainingResponseSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { type Clock, MillraceError } from "@millrace/runtime";
import { given, invalid } from "./callFields.ts";
import type { JobStore } from "./jobStore.ts";
import type { Registry } from "./registry.ts";

export interface JobCallParts {
  readonly bus: Bus;
  readonly jobs: JobStore;
  readonly registry: Registry;
  readonly clock: Clock;
}

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 200;
/** So many messages of the queue are looked at for jobs that no process has taken yet. */
const MAX_QUEUED = 500;

/** Calls about jobs: ask for one, see how far they are, stop one. */
export class JobCalls {
  readonly #parts: JobCallParts;

  constructor(parts: JobCallParts) {
    this.#parts = parts;
  }

  /** With the id of a job that there is already, asks for nothing new. */
  async request({ app, reason, asOf, jobId }: RequestTrainingRequest): Promise<RequestTrainingResponse> {
    const { bus, jobs } = this.#parts;
    await getApp(bus, given("app", app));
    const id = jobId || randomUUID();
    const known = await jobs.status(id);
    if (known?.job !== undefined && known.job.app !== app)
      throw invalid("job_id", "taken", `job_id ${id} is that of a job of ${known.job.app}; take another`);
    if (known === undefined) {
      const job = create(TrainingJobSchema, {
        id,
        app,
        trigger: "manual",
        reason,
        ...(asOf === undefined ? {} : { asOf }),
      });
      await bus.publish(trainingJobSubject(app), TrainingJobSchema, job, { id });
    }
    return create(RequestTrainingResponseSchema, { jobId: id });
  }

  async list({ app, limit }: ListJobsRequest): Promise<ListJobsResponse> {
    if (limit > MAX_LIMIT) throw invalid("limit", "too_large", `limit is ${limit}; at most ${MAX_LIMIT} are told`);
    await this.#noteQueued();
    return create(ListJobsResponseSchema, { jobs: await this.#parts.jobs.list(app, limit || DEFAULT_LIMIT) });
  }

  /** @throws `not_found` when there is no such job */
  async cancel({ jobId, reason, author }: CancelJobRequest): Promise<CancelJobResponse> {
    const { jobs, registry, clock } = this.#parts;
    const who = author || "registry call";
    const why = given("reason", reason);
    const known = (await jobs.status(given("job_id", jobId))) ?? (await this.#queued(jobId));
    if (known?.job === undefined) {
      throw new MillraceError("not_found", `There is no job ${jobId}; list the jobs to see which there are`);
    }
    await jobs.cancel(jobId, who, why);
    // The process that runs it sees it with its next beat.
    if (known.state === JobState.WAITING) {
      const asOfMs = known.job.asOf === undefined ? clock.now() : timestampMs(known.job.asOf);
      await registry.fail(known.job, `${who} cancelled it: ${why}`, asOfMs, "cancelled");
    }
    return create(CancelJobResponseSchema, { job: (await jobs.status(jobId)) ?? known });
  }

  async #queued(jobId: string): Promise<JobStatus | undefined> {
    await this.#noteQueued();
    return this.#parts.jobs.status(jobId);
  }

  /** Notes the jobs that wait in the queue, whoever put them there. */
  async #noteQueued(): Promise<void> {
    const { bus, jobs } = this.#parts;
    const { state } = await bus.manager.streams.info("TRAINING");
    if (state.messages === 0) return;
    const last = Math.min(state.last_seq, state.first_seq + MAX_QUEUED);
    for (let seq = state.first_seq; seq <= last; seq += 1) {
      const message = await bus.manager.streams.getMessage("TRAINING", { seq }).catch(() => null);
      if (message === null || !message.subject.startsWith("training.jobs.")) continue;
      try {
        const job = decode(TrainingJobSchema, message.data);
        if (job.id !== "" && job.app !== "") await jobs.claim(job);
      } catch (error) {
        // Bytes that are no job are rejected when their turn comes.
        if (!(error instanceof MillraceError) || error.code !== "invalid_argument") throw error;
      }
    }
  }
}
