import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { acceptedSubject, alertSubject, type Bus, modelSubject, predictionSubject } from "@millrace/bus";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type Outcome, OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { MadeBy, PredictionSchema, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { type TrainingJob, TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { type Clock, silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import { startFeedback } from "./feedback.ts";

export const HOUR_MS = 3_600_000;
export const START_MS = Date.UTC(2001, 0, 1);
export const hourMs = (hour: number): number => START_MS + hour * HOUR_MS;

const APP_FILE = readFileSync(new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8").replace(
  /min_new_labels: .*/,
  "min_new_labels: 1",
);

/** A running feedback service with servers of its own; each test takes an app of its own. */
export class TestFeedback implements AsyncDisposable {
  readonly nats: TestNats;
  readonly postgres: TestPostgres;
  readonly bus: Bus;
  client!: RpcClient<typeof FeedbackService>;
  #service: AsyncDisposableStack | undefined;
  #apps = 0;

  private constructor(nats: TestNats, postgres: TestPostgres, bus: Bus) {
    this.nats = nats;
    this.postgres = postgres;
    this.bus = bus;
  }

  static async start(clock?: Clock): Promise<TestFeedback> {
    const [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
    const feedback = new TestFeedback(nats, postgres, await nats.connect());
    await feedback.startService(clock);
    return feedback;
  }

  get config() {
    return {
      bus: this.nats.as("feedback"),
      database: { url: this.postgres.url("feedback"), schema: "feedback" },
      grpcAddress: "127.0.0.1:0",
      jobTimeoutMs: 60_000,
    };
  }

  async startService(clock?: Clock): Promise<void> {
    const context = {
      logger: silentLogger,
      signal: new AbortController().signal,
      fail: (error: unknown) => assert.fail(error as Error),
    };
    this.#service = new AsyncDisposableStack();
    const { rpc } = await startFeedback(this.#service, this.config, context, clock);
    this.client = this.#service.use(connectRpc(FeedbackService, rpc.address));
  }

  async stopService(): Promise<void> {
    await this.#service?.disposeAsync();
    this.#service = undefined;
  }

  /** Applies the flights' file under a name of its own. @param changes texts of the file, and what they become */
  async app(...changes: readonly (readonly [string | RegExp, string])[]): Promise<TestApp> {
    this.#apps += 1;
    const name = `flights-${this.#apps}`;
    let text = APP_FILE.replace("app: flight-delays", `app: ${name}`);
    for (const [from, to] of changes) {
      assert.match(text, typeof from === "string" ? new RegExp(from.replaceAll(/[[\]{}().*+?|]/g, "\\$&")) : from);
      text = text.replace(from, to);
    }
    await applyApp(this.bus, text);
    await waitFor(() => this.client.getSummary({ app: name }).then(Boolean, () => false), {
      what: `feedback to follow ${name}`,
    });
    return new TestApp(this, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopService();
    await this.bus[Symbol.asyncDispose]();
    await Promise.all([this.nats[Symbol.asyncDispose](), this.postgres[Symbol.asyncDispose]()]);
  }
}

let unique = 0;

export interface Landing {
  readonly flight: string;
  readonly hour: number;
  /** Minutes; 15 and more are late. */
  readonly delay: number;
  /** When it became known, where that is later. */
  readonly knownHour?: number;
  readonly id?: string;
  /** Its place in the log; default: the next. */
  readonly sequence?: number;
}

/** One app of a test: publishes what other services would, and reads what feedback says. */
export class TestApp {
  readonly name: string;
  readonly #feedback: TestFeedback;

  constructor(feedback: TestFeedback, name: string) {
    this.#feedback = feedback;
    this.name = name;
  }

  /** A prediction about a flight, with its features as of that hour. */
  async predict(
    flight: string,
    hour: number,
    { traceparent = "", ...changes }: MessageInitShape<typeof PredictionSchema> & { traceparent?: string } = {},
  ): Promise<string> {
    const [id] = await this.predictRows(hour, [[flight, changes]], traceparent);
    return id as string;
  }

  /** Predictions about several flights, in one message. */
  async predictRows(
    hour: number,
    rows: readonly (readonly [flight: string, changes: MessageInitShape<typeof PredictionSchema>])[],
    traceparent = "",
  ): Promise<string[]> {
    unique += 1;
    const predictions = rows.map(([joinKey, changes], row) => {
      const id = changes.id ?? `prediction-${unique}-${row}`;
      return create(PredictionSchema, {
        app: this.name,
        requestId: id,
        joinKey,
        occurredAt: timestampFromMs(hourMs(hour)),
        featuresAsOf: timestampFromMs(hourMs(hour)),
        probability: 0.25,
        modelVersion: `${this.name}/1`,
        madeBy: MadeBy.CHAMPION,
        features: [1.5, Number.NaN],
        ...changes,
        id,
      });
    });
    const publication = { id: `publication-${unique}`, traceparent };
    const message = create(PredictionsSchema, { predictions });
    await this.#feedback.bus.publish(predictionSubject(this.name), PredictionsSchema, message, publication);
    return predictions.map(({ id }) => id);
  }

  /** Landings, as ingestion publishes them. */
  async land(...landings: readonly Landing[]): Promise<void> {
    unique += 1;
    const events = landings.map(({ flight, hour, delay, knownHour = hour, id, sequence }, index) => ({
      event: {
        id: id ?? `landing-${unique}-${index}`,
        app: this.name,
        type: "flight.landed",
        occurredAt: timestampFromMs(hourMs(hour)),
        fields: {
          flight_id: { kind: { case: "stringValue" as const, value: flight } },
          delay: { kind: { case: "doubleValue" as const, value: delay } },
        },
      },
      knownAt: timestampFromMs(hourMs(knownHour)),
      logSequence: BigInt(sequence ?? unique * 1_000 + index),
    }));
    const batch = create(AcceptedEventsSchema, { batchId: `batch-${unique}`, events });
    await this.#feedback.bus.publish(acceptedSubject(this.name, "flight.landed", 0), AcceptedEventsSchema, batch, {
      id: batch.batchId,
    });
  }

  async promote(number: number, hour: number, what = "promoted", jobId = `job-${number}`): Promise<void> {
    unique += 1;
    const event = create(ModelEventSchema, {
      id: `promoted-${number}-${hour}`,
      app: this.name,
      what,
      model: { app: this.name, number, asOf: timestampFromMs(hourMs(hour)) },
      jobId,
      occurredAt: timestampFromMs(hourMs(hour)),
    });
    const id = `${event.id}-${unique}`;
    await this.#feedback.bus.publish(modelSubject(this.name, what), ModelEventSchema, event, { id });
    await this.settled();
  }

  async alert(state: AlertState, openedHour: number, hour = openedHour, monitor = "drift"): Promise<void> {
    unique += 1;
    const message = create(AlertSchema, {
      id: `${monitor}-1`,
      app: this.name,
      monitor,
      state,
      title: "hour has moved",
      openedAt: timestampFromMs(hourMs(openedHour)),
      changedAt: timestampFromMs(hourMs(hour)),
      modelVersion: `${this.name}/1`,
    });
    await this.#feedback.bus.publish(alertSubject(this.name, monitor), AlertSchema, message, { id: `alert-${unique}` });
    await this.settled();
  }

  /** Everything that was published has been handled and acknowledged. @param more durables of ACCEPTED to wait for */
  async settled(...more: readonly string[]): Promise<void> {
    const { bus } = this.#feedback;
    const durables = [
      ["PREDICTIONS", "feedback-predictions"],
      ["ACCEPTED", `feedback-${this.name}`],
      ["MODELS", "feedback-models"],
      ["ALERTS", "feedback-alerts"],
      ...more.map((durable) => ["ACCEPTED", durable] as const),
    ] as const;
    await waitFor(
      async () => {
        for (const [stream, durable] of durables) {
          const { num_pending, num_ack_pending } = await bus.manager.consumers.info(stream, durable);
          if (num_pending + num_ack_pending > 0) return false;
        }
        return true;
      },
      { deadlineMs: 20_000, what: "feedback to have handled everything" },
    );
  }

  get summary() {
    return this.#feedback.client.getSummary({ app: this.name });
  }

  /** What is published about the app, in order. */
  async published<Message>(stream: string, read: (data: Uint8Array) => Message): Promise<Message[]> {
    const { manager } = this.#feedback.bus;
    const { state } = await manager.streams.info(stream);
    const messages: Message[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const stored = await manager.streams.getMessage(stream, { seq });
      if (stored?.subject.split(".").includes(this.name)) messages.push(read(stored.data));
    }
    return messages;
  }

  async outcomes(): Promise<Outcome[]> {
    return (await this.published("OUTCOMES", (data) => fromBinary(OutcomesSchema, data).outcomes)).flat();
  }

  jobs(): Promise<TrainingJob[]> {
    return this.published("TRAINING", (data) => fromBinary(TrainingJobSchema, data));
  }
}

export { AlertState };
