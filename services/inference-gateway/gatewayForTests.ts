import { createHash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, featureBucket, type KV } from "@millrace/bus";
import {
  Aggregate,
  Algorithm,
  type AppVersion,
  AppVersionSchema,
  Fallback,
  FieldType,
  Metric,
  type Serving,
  type ServingSchema,
  Task,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import {
  DeploymentSchema,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc, type RpcClient, type RpcServer } from "@millrace/rpc";
import { type Logger, readConfig, silentLogger } from "@millrace/runtime";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { readGatewayConfig } from "./config.ts";
import { startGateway } from "./gateway.ts";

export const APP = "flights";
/** Alphabetical, as the models of the tests take them. */
export const FEATURES = ["distance", "origin_flights_1h", "turns"];
export const WATERMARK_MS = Date.UTC(2001, 1, 3, 12);

/** Parts of an app's section `serving`. */
export type ServingSettings = Exclude<MessageInitShape<typeof ServingSchema>, Serving>;

/**
 * An app whose models see the request's `distance` and `turns`, and how many flights its origin had.
 *
 * @param serving replaces parts of the app's own
 */
export function testApp(deadlineMs = 10_000, serving: ServingSettings = {}): AppVersion {
  return create(AppVersionSchema, {
    version: 3,
    app: {
      app: APP,
      entities: { origin: { key: ["origin"] } },
      events: {
        "flight.scheduled": {
          version: 1,
          fields: {
            flight_id: { type: FieldType.STRING, required: true, maxLength: 64 },
            origin: { type: FieldType.STRING, required: true, pattern: "[A-Z]{3}" },
            distance: { type: FieldType.DOUBLE, required: true, min: -10, max: 6000, unit: "mile" },
            turns: { type: FieldType.DOUBLE },
          },
        },
        "flight.landed": {
          version: 1,
          fields: { flight_id: { type: FieldType.STRING, required: true }, late: { type: FieldType.BOOL } },
        },
      },
      prediction: { at: "flight.scheduled" },
      features: {
        distance: { atRequest: "request.distance" },
        origin_flights_1h: {
          entity: "origin",
          on: "flight.scheduled",
          aggregate: Aggregate.COUNT,
          window: durationFromMs(3_600_000),
        },
        turns: { atRequest: "request.turns" },
      },
      label: { on: "flight.landed", join: "flight_id", value: "event.late", wait: durationFromMs(86_400_000) },
      model: { task: Task.BINARY, candidates: [Algorithm.LOGISTIC], metric: Metric.LOG_LOSS, holdout: 0.2 },
      serving: {
        deadline: durationFromMs(deadlineMs),
        batch: { maxSize: 16, maxDelay: durationFromMs(2) },
        fallback: [Fallback.PREVIOUS, Fallback.BASELINE, Fallback.CONSTANT],
        decisions: [
          { name: "warn", atLeast: 0.5 },
          { name: "ok", atLeast: 0 },
        ],
        constant: 0.125,
        ...serving,
      },
    },
  });
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

/** What a test asks about; the flight `f1` is asked about as often as you like. */
export interface AskedFlight {
  readonly flightId?: string;
  readonly origin?: string;
  readonly distance?: number;
  readonly turns?: number;
}

/** A question with good fields, unless told otherwise. */
export function flightRow({ flightId = "f1", origin = "SFO", distance = 0, turns }: AskedFlight = {}) {
  const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
  const number = (value: number) => ({ kind: { case: "doubleValue" as const, value } });
  return {
    requestId: flightId === "f1" ? "" : flightId,
    occurredAt: timestampFromMs(WATERMARK_MS),
    fields: {
      flight_id: text(flightId),
      origin: text(origin),
      distance: number(distance),
      ...(turns === undefined ? {} : { turns: number(turns) }),
    },
  };
}

/** Versions that a deployment has beside its champion. */
export type Beside = Pick<MessageInitShape<typeof DeploymentSchema>, "canary" | "shadow">;

/** Everything that a stream brings. */
export async function collect<Item>(stream: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** A gateway with its own NATS server, and everything that the other services would do to it. */
export class TestGateway implements AsyncDisposable {
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly server: RpcServer;
  readonly client: RpcClient<typeof PredictionService>;
  readonly features: KV;
  /** What the gateway logged as errors. */
  readonly errors: readonly string[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    stack: AsyncDisposableStack,
    nats: TestNats,
    bus: Bus,
    server: RpcServer,
    features: KV,
    errors: readonly string[],
  ) {
    this.errors = errors;
    this.#stack = stack;
    this.nats = nats;
    this.bus = bus;
    this.server = server;
    this.features = features;
    this.client = stack.use(connectRpc(PredictionService, server.address, { ownConnection: true }));
  }

  /** Starts with an app and its features, and without a model. */
  static async start(environment: Record<string, string> = {}, app = testApp()): Promise<TestGateway> {
    const stack = new AsyncDisposableStack();
    const nats = stack.use(await startNats());
    const bus = stack.use(await nats.connect());
    const features = await bus.createKeyValue(featureBucket(APP), { history: 1 });
    const watermark = create(WatermarkSchema, { eventTime: timestampFromMs(WATERMARK_MS) });
    await features.put("watermark.0", toBinary(WatermarkSchema, watermark));
    await (await bus.keyValue("apps")).put(APP, toBinary(AppVersionSchema, app));
    const { url, user, password } = nats.as("inference-gateway");
    const config = readConfig(
      {
        NATS_URL: url,
        NATS_USER: user,
        NATS_PASSWORD: password,
        MILLRACE_GRPC_ADDRESS: "127.0.0.1:0",
        ...environment,
      },
      readGatewayConfig,
    );
    const fail = (error: unknown): void => {
      throw error;
    };
    const errors: string[] = [];
    const error = (_: unknown, text: string): void => {
      errors.push(text);
    };
    const logger = Object.assign(Object.create(silentLogger) as Logger, { error });
    const server = await startGateway(stack, config, { logger, fail });
    return new TestGateway(stack, nats, bus, server, features, errors);
  }

  /** Asks with good fields, unless told otherwise. */
  predict(asked: AskedFlight = {}, timeoutMs = 10_000, signal?: AbortSignal) {
    return this.client.predict(
      { app: APP, ...flightRow(asked) },
      { ...(timeoutMs === 0 ? {} : { timeoutMs }), ...(signal === undefined ? {} : { signal }) },
    );
  }

  /** Puts an ONNX file into the object store and describes it. */
  async model(number: number, onnx: Uint8Array, baseRate = 0.25): Promise<ModelVersion> {
    const artefact = sha256(onnx);
    await (await this.bus.objects("models")).putBlob({ name: artefact }, onnx);
    return create(ModelVersionSchema, { app: APP, number, artefact, featureNames: FEATURES, baseRate });
  }

  /** Deploys, without waiting for anything. */
  async deploy(champion: ModelVersion, previous?: ModelVersion, beside: Beside = {}): Promise<void> {
    const deployment = create(DeploymentSchema, {
      app: APP,
      champion,
      ...(previous === undefined ? {} : { previous }),
      ...beside,
    });
    await (await this.bus.keyValue("deployments")).put(APP, toBinary(DeploymentSchema, deployment));
  }

  /** Deploys, and waits until the champion answers. */
  async serve(champion: ModelVersion, previous?: ModelVersion): Promise<void> {
    await this.deploy(champion, previous);
    await waitFor(async () => (await this.predict()).prediction?.modelVersion === `${APP}/${champion.number}`, {
      what: `${APP}/${champion.number} to serve`,
    });
  }

  /** Everything on the stream PREDICTIONS, oldest first. */
  async stored(): Promise<Prediction[]> {
    const { state } = await this.bus.manager.streams.info("PREDICTIONS");
    if (state.messages === 0) return [];
    const predictions: Prediction[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const message = await this.bus.manager.streams.getMessage("PREDICTIONS", { seq });
      if (message !== null) predictions.push(...decode(PredictionsSchema, message.data).predictions);
    }
    return predictions;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
