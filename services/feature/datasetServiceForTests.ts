import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import {
  EventLogService,
  type ReadEventsRequest,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc, implement, type RpcClient, startRpcServer } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startNats } from "@millrace/test-harness";
import { parquetReadObjects } from "hyparquet";
import { buildDatasetInWorker } from "./datasetThread.ts";
import { knownAtMs, pieces } from "./flightsForTests.ts";
import { datasetService } from "./grpc.ts";

/** Absent: all there is. */
export interface Times {
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly knownBeforeMs?: number;
}

/** A row as Parquet holds it. */
export interface StoredRow {
  readonly key: string;
  readonly occurred_at: Date;
  readonly label: number | null;
  readonly [feature: string]: unknown;
}

/** DatasetService over gRPC, with the rights of the feature service, on a NATS server of its own and an event log that holds `log`. */
export class TestDatasetService implements AsyncDisposable {
  /** With all rights. */
  readonly bus: Bus;
  readonly client: RpcClient<typeof DatasetService>;
  readonly #stack: AsyncDisposableStack;

  private constructor(bus: Bus, client: RpcClient<typeof DatasetService>, stack: AsyncDisposableStack) {
    this.bus = bus;
    this.client = client;
    this.#stack = stack;
  }

  static async start(log: readonly AcceptedEvent[] = []): Promise<TestDatasetService> {
    await using stack = new AsyncDisposableStack();
    const nats = stack.use(await startNats());
    const logger = silentLogger;
    const address = "127.0.0.1:0";
    const readEvents = (request: ReadEventsRequest) => pagesOf(log, request);
    const eventLog = stack.use(
      await startRpcServer({ address, services: [implement(EventLogService, { readEvents })], logger }),
    );
    const config = { bus: nats.as("feature"), eventLogAddress: eventLog.address } as never;
    const own = stack.use(await nats.connect("feature"));
    const services = [datasetService(own, buildDatasetInWorker(config, logger))];
    const server = stack.use(await startRpcServer({ address, services, logger }));
    const bus = stack.use(await nats.connect());
    const client = stack.use(connectRpc(DatasetService, server.address));
    return new TestDatasetService(bus, client, stack.move());
  }

  /** Builds a dataset of the flights; answers its manifest, and how often progress was told. */
  async build({ fromMs, toMs, knownBeforeMs }: Times = {}, app = "flights"): Promise<[DatasetManifest, number]> {
    let progress = 0;
    let manifest: DatasetManifest | undefined;
    const request = {
      app,
      ...(fromMs === undefined ? {} : { from: timestampFromMs(fromMs) }),
      ...(toMs === undefined ? {} : { to: timestampFromMs(toMs) }),
      ...(knownBeforeMs === undefined ? {} : { knownBefore: timestampFromMs(knownBeforeMs) }),
    };
    for await (const { step } of this.client.buildDataset(request)) {
      if (step.case === "progress") progress += 1;
      if (step.case === "manifest") manifest = step.value;
    }
    assert.ok(manifest);
    return [manifest, progress];
  }

  /** The bytes of a stored object. */
  async object(name: string): Promise<Uint8Array> {
    const bytes = await (await this.bus.objects("datasets")).getBlob(name);
    assert.ok(bytes, name);
    return bytes;
  }

  /** All rows of a dataset, in order. */
  async rows({ objects }: DatasetManifest): Promise<StoredRow[]> {
    const rows: StoredRow[] = [];
    for (const name of objects) {
      const file = new Uint8Array(await this.object(name)).buffer;
      rows.push(...((await parquetReadObjects({ file })) as StoredRow[]));
    }
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What the event log answers: events of these types that became known in the range, page by page. */
async function* pagesOf(log: readonly AcceptedEvent[], { types, knownFrom, knownBefore }: ReadEventsRequest) {
  const fromMs = knownFrom === undefined ? -Infinity : timestampMs(knownFrom);
  const beforeMs = knownBefore === undefined ? Infinity : timestampMs(knownBefore);
  const asked = log.filter(
    (event) => types.includes(event.event?.type ?? "") && knownAtMs(event) >= fromMs && knownAtMs(event) < beforeMs,
  );
  for (const events of pieces(asked, 500)) yield create(ReadEventsResponseSchema, { events });
}
