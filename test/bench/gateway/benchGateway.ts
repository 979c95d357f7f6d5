import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, connectBus, decode } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import { APP, DATA_FROM_MS, type Flights, readFlights } from "@millrace/flight-delays";
import { MadeBy, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { DeploymentSchema, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, type TestPlatform, waitFor } from "@millrace/test-harness";
import { DeliverPolicy } from "@nats-io/jetstream";
import { publishFlights } from "../ingest/publishFlights.ts";
import { flightRow } from "./flightRequests.ts";
import { TraceSink } from "./traceSink.ts";

const APP_FILE = join(import.meta.dirname, "../../../deploy/apps/flight-delays/app.yaml");
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Predictions of the stream PREDICTIONS, by who made them. */
export interface Stored {
  readonly all: number;
  readonly byChampion: number;
}

/**
 * The gateway in its own process as in production, with the app flight-delays, a day of real flights in its online features, and telemetry
 * on: 1 % of the traces, and metrics, go to a sink.
 */
export class BenchGateway implements AsyncDisposable {
  /** Of the next day: what is asked about. */
  readonly flights: Flights;
  readonly featureNames: readonly string[];
  readonly bus: Bus;
  readonly client: RpcClient<typeof PredictionService>;
  readonly #system: TestPlatform;
  readonly #appText: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<BenchGateway, "flights" | "featureNames" | "bus" | "client">,
    system: TestPlatform,
    appText: string,
    stack: AsyncDisposableStack,
  ) {
    this.flights = parts.flights;
    this.featureNames = parts.featureNames;
    this.bus = parts.bus;
    this.client = parts.client;
    this.#system = system;
    this.#appText = appText;
    this.#stack = stack;
  }

  /** Without a model yet. */
  static async start(): Promise<BenchGateway> {
    await using stack = new AsyncDisposableStack();
    const sink = stack.use(await TraceSink.start());
    const system = stack.use(
      await startTestPlatform({
        services: ["ingestion", "feature", "inference-gateway"],
        environment: { OTEL_EXPORTER_OTLP_ENDPOINT: sink.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" },
      }),
    );
    const bus = stack.use(await connectBus(system.platform.nats("admin"), "bench", silentLogger));
    const appText = await readFile(APP_FILE, "utf8");
    await applyApp(bus, appText);
    const nextDay = DATA_FROM_MS + DAY_MS;
    await publishFlights(bus, await readFlights(DATA_FROM_MS, nextDay), Infinity);
    const address = system.platform.grpc("inference-gateway");
    const client = stack.use(connectRpc(PredictionService, address, { ownConnection: true }));
    const flights = await readFlights(nextDay, nextDay + DAY_MS);
    const { names: featureNames } = compileFeatures(parseApp(appText));
    const gateway = new BenchGateway({ flights, featureNames, bus, client }, system, appText, stack.move());
    await gateway.#wait("the features of a day", async () => {
      const asOf = (await gateway.ask()).prediction?.featuresAsOf;
      return asOf !== undefined && Number(asOf.seconds) * 1_000 >= nextDay - HOUR_MS;
    });
    return gateway;
  }

  get address(): string {
    return this.#system.platform.grpc("inference-gateway");
  }

  get pid(): number {
    return this.#system.platform.supervisor.service("inference-gateway").pid;
  }

  /** Asks about one flight, with so long a deadline. */
  ask(index = 0, timeoutMs = 5_000) {
    return this.client.predict({ app: APP, ...flightRow(this.flights, index) }, { timeoutMs });
  }

  /** Applies the app with its batches as given; the gateway adopts it before the next deployment. */
  async batches(maxSize: number): Promise<void> {
    const text = this.#appText.replace(/batch: \{ max_size: \d+/, `batch: { max_size: ${maxSize}`);
    const { version } = await applyApp(this.bus, text);
    await this.#wait(
      "the app's new version",
      async () => (await this.ask()).prediction?.appVersion === version.version,
    );
  }

  /** Makes a model the champion, without any other version, and waits until it answers. Returns how many questions that took. */
  async deploy(number: number, onnx: Uint8Array): Promise<number> {
    const artefact = createHash("sha256").update(onnx).digest("hex");
    const objects = await this.bus.objects("models");
    if ((await objects.info(artefact)) === null) await objects.putBlob({ name: artefact }, onnx);
    const featureNames = [...this.featureNames];
    const champion = create(ModelVersionSchema, { app: APP, number, artefact, featureNames, baseRate: 0.2 });
    const deployment = create(DeploymentSchema, { app: APP, champion });
    await (await this.bus.keyValue("deployments")).put(APP, toBinary(DeploymentSchema, deployment));
    let questions = 0;
    await this.#wait(`${APP}/${number} to serve`, async () => {
      questions += 1;
      return (await this.ask()).prediction?.modelVersion === `${APP}/${number}`;
    });
    return questions;
  }

  /** The number of the last message with predictions that was stored. */
  async lastStored(): Promise<number> {
    return (await this.bus.manager.streams.info("PREDICTIONS")).state.last_seq;
  }

  /** What was stored after the given number. */
  async storedAfter(sequence: number): Promise<Stored> {
    const messages = (await this.lastStored()) - sequence;
    let all = 0;
    if (messages === 0) return { all, byChampion: 0 };
    const from = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1 };
    const consumer = await this.bus.jetstream.consumers.get("PREDICTIONS", from);
    let byChampion = 0;
    let read = 0;
    for await (const message of await consumer.consume({ max_messages: 5_000 })) {
      const { predictions } = decode(PredictionsSchema, message.data);
      all += predictions.length;
      byChampion += predictions.filter(({ madeBy }) => madeBy === MadeBy.CHAMPION).length;
      read += 1;
      if (read === messages) break;
    }
    return { all, byChampion };
  }

  async #wait(what: string, until: () => Promise<boolean>): Promise<void> {
    await waitFor(async () => ((await until()) ? true : undefined), { deadlineMs: 120_000, everyMs: 20, what });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
