import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, modelSubject, trainingJobSubject } from "@millrace/bus";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type ModelEvent, ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { Subscription } from "@nats-io/transport-node";
import { day } from "./options.ts";
import type { Progress } from "./progress.ts";

const ENDS: ReadonlySet<string> = new Set(["promoted", "accepted", "rejected", "failed"]);

/**
 * Follows an app's training jobs. While one runs, the replay holds the clock: a training takes minutes of event time in life, and
 * would take days of it at this speed.
 */
export class Trainings implements Disposable {
  /** Jobs asked for that have not ended, by id, with what asked for them. */
  readonly running = new Map<string, string>();
  readonly #subscriptions: readonly Subscription[];
  readonly #ended = new Map<string, ModelEvent>();
  #waiting: (() => void)[] = [];

  constructor(bus: Bus, app: string, progress: Progress) {
    const show = (): void => {
      progress.training = [...this.running.values()].join("; ");
    };
    const jobs = bus.connection.subscribe(trainingJobSubject(app), {
      callback: (_, { data }) => {
        const { id, trigger } = decode(TrainingJobSchema, data);
        if (!this.#ended.has(id)) this.running.set(id, trigger);
        show();
      },
    });
    const models = bus.connection.subscribe(modelSubject(app, "*"), {
      callback: (_, { data }) => {
        const event = decode(ModelEventSchema, data);
        note(progress, event);
        if (!ENDS.has(event.what) || event.jobId === "") return;
        this.#ended.set(event.jobId, event);
        this.running.delete(event.jobId);
        show();
        for (const wake of this.#waiting.splice(0)) wake();
      },
    });
    this.#subscriptions = [jobs, models];
  }

  /** Resolves when a job has ended, with how. */
  async end(jobId: string): Promise<ModelEvent> {
    for (;;) {
      const event = this.#ended.get(jobId);
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when no job is running; undefined, at once, when none is. */
  idle(): Promise<void> | undefined {
    return this.running.size === 0 ? undefined : this.#untilIdle();
  }

  async #untilIdle(): Promise<void> {
    while (this.running.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }
}

function note(progress: Progress, { what, model, reason }: ModelEvent): void {
  const name = model === undefined ? "" : ` ${model.app}/${model.number} (${model.algorithm})`;
  const at = model?.asOf === undefined ? "" : ` as of ${day(timestampMs(model.asOf))}`;
  const why = what === "candidate" || reason === "" ? "" : `: ${lastSentence(reason)}`;
  progress.notes.push(`model${name}${at} ${what}${why}`);
}

/** A verdict's last sentence is the one that decided; the report has all of them. */
const lastSentence = (text: string): string => text.split(/(?<=\.) (?=\S)/).at(-1) ?? text;
