import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, trainingJobSubject } from "@millrace/bus";
import { connectDatabase, type Database, migrate } from "@millrace/db";
import { Algorithm, AppVersionSchema, Metric, type ModelSchema, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type BuildDatasetRequest,
  BuildDatasetResponseSchema,
  DatasetService,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import {
  type Deployment,
  DeploymentSchema,
  type ModelEvent,
  ModelEventSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc, implement, type RpcClient, type RpcServer, startRpcServer } from "@millrace/rpc";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import { parquetWriteBuffer } from "hyparquet-writer";
import { migrations } from "./migrations/mod.ts";
import { startTraining } from "./training.ts";

export const APP = "flights";
export const FEATURES = ["busy", "hour"];
const MINUTE_MS = 60_000;
export const AS_OF_MS = Date.UTC(2001, 1, 1);

/** What the dataset server answers with. */
export interface History {
  /** One row a minute. */
  readonly rows: number;
  /** +1: busy means late; -1: the opposite; 0: nothing to learn. */
  readonly direction: number;
  /** `mixed`, or the same label for all; classes 0 to 2, or numbers. */
  readonly labels?: "mixed" | "ones" | "classes" | "numbers";
  /** Each row stands there so many times. */
  readonly times?: number;
  /** Replaces the Parquet file by something else. */
  readonly corrupt?: boolean;
}

const GOOD: History = { rows: 6_000, direction: 1 };

/** A whole training service on real servers, with a dataset server that answers as the test asks. */
export class TestTraining implements AsyncDisposable {
  history: History = GOOD;
  /** The dataset server answers once this is settled. */
  hold: Promise<void> = Promise.resolve();
  /** Dataset requests so far. */
  readonly requests: BuildDatasetRequest[] = [];
  readonly bus: Bus;
  readonly database: Database;
  readonly #stack: AsyncDisposableStack;
  readonly #nats: TestNats;
  readonly #databaseUrl: string;
  #datasets: RpcServer | undefined;
  #service: AsyncDisposableStack | undefined;
  #client: RpcClient<typeof RegistryService> | undefined;

  private constructor(stack: AsyncDisposableStack, nats: TestNats, bus: Bus, database: Database, databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
    this.#stack = stack;
    this.#nats = nats;
    this.bus = bus;
    this.database = database;
  }

  /** @param service whether to start the service in this process */
  static async start({ service: started = true } = {}): Promise<TestTraining> {
    const stack = new AsyncDisposableStack();
    const nats = stack.use(await startNats());
    const postgres: TestPostgres = stack.use(await startPostgres());
    const bus = stack.use(await nats.connect());
    const url = postgres.url("training");
    const database = stack.use(await connectDatabase({ url, schema: "training" }, silentLogger));
    await migrate(database, migrations);
    const training = new TestTraining(stack, nats, bus, database, url);
    const service = implement(DatasetService, { buildDataset: (request) => training.#build(request) });
    training.#datasets = stack.use(
      await startRpcServer({ address: "127.0.0.1:0", services: [service], logger: silentLogger }),
    );
    await training.applyApp();
    if (started) await training.startService();
    return training;
  }

  /** @param model replaces parts of the app's own */
  async applyApp(model: Partial<MessageInitShape<typeof ModelSchema>> = {}): Promise<void> {
    const version = create(AppVersionSchema, {
      version: 1,
      app: {
        app: APP,
        features: { busy: { atRequest: "request.busy" }, hour: { atRequest: "request.hour" } },
        label: { on: "landed", join: "id", value: "event.late", wait: { seconds: 3_600n } },
        model: {
          task: Task.BINARY,
          candidates: [Algorithm.LOGISTIC, Algorithm.BASELINE],
          metric: Metric.LOG_LOSS,
          holdout: 0.2,
          seed: 1,
          gates: { minAuc: 0.6, tolerance: 0.002, minRows: 100 },
          ...(model as object),
        },
      },
    });
    await (await this.bus.keyValue("apps")).put(APP, toBinary(AppVersionSchema, version));
  }

  /** Starts the service with its own rights on the bus. */
  async startService(): Promise<void> {
    const { stack, client } = await this.#startOne();
    this.#service = stack;
    this.#client = client;
  }

  /** One more of the service, on the same bus and database. */
  async startAnother(): Promise<AsyncDisposable> {
    return (await this.#startOne()).stack;
  }

  async #startOne(): Promise<{ stack: AsyncDisposableStack; client: RpcClient<typeof RegistryService> }> {
    const stack = new AsyncDisposableStack();
    const stopping = new AbortController();
    const bus = stack.use(await this.#nats.connect("training"));
    const { service, maxMessageBytes } = await startTraining(stack, {
      bus,
      database: this.database,
      logger: silentLogger,
      signal: stopping.signal,
      lookMs: 50,
      fail: (error) => {
        throw error;
      },
      config: {
        datasetAddress: this.#datasets?.address ?? "",
        maxRows: 400_000,
        maxMemoryBytes: 2 ** 31,
        maxUploadBytes: 4 << 20,
      },
    });
    const address = "127.0.0.1:0";
    const server = stack.use(
      await startRpcServer({ address, services: [service], logger: silentLogger, maxMessageBytes }),
    );
    const client = stack.use(connectRpc(RegistryService, server.address));
    // First of all, as when a process is told to stop: a job that waits for somebody gives up.
    stack.defer(() => stopping.abort());
    return { stack, client };
  }

  /** A connection with the rights of a trainer outside of Millrace. */
  connectTrainer(): Promise<Bus> {
    return this.#nats.connect("trainer");
  }

  /** How a process connects with a user's rights. */
  natsEnvironment(user: "training" | "trainer"): Record<string, string> {
    const { url, password = "" } = this.#nats.as(user);
    return { NATS_URL: url, NATS_USER: user, NATS_PASSWORD: password };
  }

  /** Settings for the service as a process of its own. */
  environment(): Record<string, string> {
    return {
      ...this.natsEnvironment("training"),
      DATABASE_URL: this.#databaseUrl,
      DATASET_ADDRESS: this.#datasets?.address ?? "",
      MILLRACE_GRPC_ADDRESS: "127.0.0.1:0",
      MILLRACE_PARENT: "stdin",
    };
  }

  async stopService(): Promise<void> {
    await this.#service?.disposeAsync();
    this.#service = undefined;
  }

  get registry(): RpcClient<typeof RegistryService> {
    if (this.#client === undefined) throw new MillraceError("internal", "the service has not been started");
    return this.#client;
  }

  async publishJob(id: string, messageId = id, app = APP): Promise<void> {
    const asOf = timestampFromMs(AS_OF_MS);
    const job = create(TrainingJobSchema, { id, app, trigger: "manual", reason: "a test", asOf });
    await this.bus.publish(trainingJobSubject(app), TrainingJobSchema, job, { id: messageId });
  }

  /** Publishes a job, waits until it is settled, and tells what was told about it, in order. */
  async runJob(id: string, app = APP): Promise<ModelEvent[]> {
    await this.publishJob(id, id, app);
    await this.settled();
    return (await this.events()).filter((event) => event.jobId === id);
  }

  /** Waits until no job is left on the stream. */
  async settled(): Promise<void> {
    await waitFor(async () => (await this.bus.manager.streams.info("TRAINING")).state.messages === 0, {
      deadlineMs: 20_000,
    });
  }

  async events(): Promise<ModelEvent[]> {
    const { state } = await this.bus.manager.streams.info("MODELS");
    const events: ModelEvent[] = [];
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq += 1) {
      const message = await this.bus.manager.streams.getMessage("MODELS", { seq });
      if (message !== null) events.push(decode(ModelEventSchema, message.data));
    }
    return events;
  }

  async deployment(): Promise<Deployment | undefined> {
    const entry = await (await this.bus.keyValue("deployments")).get(APP);
    return entry?.operation === "PUT" ? decode(DeploymentSchema, entry.value) : undefined;
  }

  async *#build(request: BuildDatasetRequest) {
    this.requests.push(request);
    await this.hold;
    const { rows, corrupt = false } = this.history;
    const name = `dataset-${this.requests.length}`;
    const bytes = corrupt ? new Uint8Array(64) : parquetOf(this.history);
    await (await this.bus.objects("datasets")).putBlob({ name }, bytes);
    yield create(BuildDatasetResponseSchema, { step: { case: "progress", value: { eventsRead: 1n } } });
    const columns = FEATURES.map((feature) => ({ name: feature }));
    const manifest = {
      contentHash: name,
      app: request.app,
      appVersion: 1,
      rows: BigInt(rows),
      objects: [name],
      columns,
    };
    yield create(BuildDatasetResponseSchema, { step: { case: "manifest", value: manifest } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopService();
    await this.#stack.disposeAsync();
  }
}

/** Deterministic numbers from 0 to 1 that look random. */
function noise(row: number, salt: number): number {
  const value = Math.sin(row * 12.9898 + salt * 78.233) * 43_758.5453;
  return value - Math.floor(value);
}

function parquetOf({ rows, direction, labels = "mixed", times = 1 }: History): Uint8Array {
  const indexes = Array.from({ length: rows }, (_, row) => Math.floor(row / times));
  const busy = indexes.map((row) => (row % 50 === 0 ? null : noise(row, 1)));
  const label = indexes.map((row) => {
    if (labels === "ones") return 1;
    const chance = 0.5 + direction * 0.4 * ((busy[row] ?? 0.5) * 2 - 1);
    if (rows - row < 30) return null;
    if (labels === "numbers") return 100 * chance + 10 * noise(row, 2);
    return labels === "classes"
      ? Number(noise(row, 2) < chance) + Number(noise(row, 3) < chance)
      : Number(noise(row, 2) < chance);
  });
  const start = AS_OF_MS - rows * MINUTE_MS;
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: "key", data: indexes.map(String), type: "STRING" },
        { name: "occurred_at", data: indexes.map((row) => new Date(start + row * MINUTE_MS)), type: "TIMESTAMP" },
        { name: "busy", data: busy, type: "DOUBLE", nullable: true },
        { name: "hour", data: indexes.map((row) => Math.floor(row / 60) % 24), type: "DOUBLE", nullable: true },
        { name: "label", data: label, type: "DOUBLE", nullable: true },
        {
          name: "request.airport",
          data: indexes.map((row) => (row % 40 === 0 ? null : (["ORD", "SFO", "ATL"][row % 3] as string))),
          type: "STRING",
          nullable: true,
        },
      ],
    }),
  );
}

export const millisecondsOf = (event: ModelEvent | undefined): number | undefined =>
  event?.occurredAt === undefined ? undefined : timestampMs(event.occurredAt);
