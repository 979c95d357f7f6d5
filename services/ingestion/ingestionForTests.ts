import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, eventSubject, type JsMsg } from "@millrace/bus";
import { connectDatabase, type Database } from "@millrace/db";
import {
  type AcceptedEvent,
  AcceptedEventsSchema,
  type Event,
  EventSchema,
  type Value,
  ValueSchema,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  DataQualityService,
  type ListDataQualityRequestSchema,
  type ListDataQualityResponse,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { type CountEventsResponse, EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import type { TimeLimits } from "./checkTime.ts";
import type { IngestionConfig } from "./config.ts";
import { startIngestion } from "./ingestion.ts";

export const APP = "flight-delays";
export const FLIGHTS = readFileSync(new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");

/** The wall clock of every test, and when its first event happens. */
export const NOW_MS = Date.UTC(2001, 5, 1);
export const START_MS = Date.UTC(2001, 0, 10);

/** The limits of events' times in a log that keeps all. */
export const KEEPS_ALL: TimeLimits = { nowMs: NOW_MS, keptFromMs: () => -Infinity };

export const text = (value: string): Value => create(ValueSchema, { kind: { case: "stringValue", value } });
export const number = (value: number): Value => create(ValueSchema, { kind: { case: "doubleValue", value } });

let serial = 0;

/** A good `flight.scheduled`, a second after the one before, with some changes. */
export function scheduled(
  changes: Partial<Pick<Event, "id" | "app" | "type" | "schemaVersion" | "occurredAt">> = {},
  fields: Record<string, Value> = {},
): Event {
  serial += 1;
  return create(EventSchema, {
    id: `s${serial}`,
    app: APP,
    type: "flight.scheduled",
    occurredAt: timestampFromMs(START_MS + serial * 1_000),
    fields: {
      flight_id: text(`f${serial}`),
      origin: text("JFK"),
      destination: text("SFO"),
      distance: number(2_586),
      ...fields,
    },
    ...changes,
  });
}

/** The service in this process, with servers of its own, and what tests ask of them. */
export class TestIngestion implements AsyncDisposable {
  readonly nats: TestNats;
  readonly postgres: TestPostgres;
  readonly bus: Bus;
  readonly database: Database;
  config: IngestionConfig;
  readonly #servers: AsyncDisposableStack;
  #running: AsyncDisposableStack | undefined;
  #address = "";
  #published = 0;

  private constructor(
    nats: TestNats,
    postgres: TestPostgres,
    bus: Bus,
    database: Database,
    servers: AsyncDisposableStack,
  ) {
    this.nats = nats;
    this.postgres = postgres;
    this.bus = bus;
    this.database = database;
    this.#servers = servers;
    this.config = configFor(nats, postgres);
  }

  /** Starts the servers and applies the app; and the service, unless told not to. */
  static async start({ app = FLIGHTS, running = true } = {}): Promise<TestIngestion> {
    await using stack = new AsyncDisposableStack();
    const nats = stack.use(await startNats());
    const postgres = stack.use(await startPostgres());
    const bus = stack.use(await nats.connect());
    await applyApp(bus, app);
    const database = stack.use(await connectDatabase(configFor(nats, postgres).database, silentLogger));
    const ingestion = new TestIngestion(nats, postgres, bus, database, stack.move());
    if (running) await ingestion.resume();
    return ingestion;
  }

  /** Where the service's gRPC is. */
  get address(): string {
    return this.#address;
  }

  async resume(): Promise<void> {
    const stack = new AsyncDisposableStack();
    this.#address = await startIngestion(stack, this.config, {
      logger: silentLogger,
      fail: (error) => assert.fail(String(error)),
      clock: { now: () => NOW_MS },
    });
    this.#running = stack;
  }

  async stop(): Promise<void> {
    await this.#running?.disposeAsync();
    this.#running = undefined;
  }

  /** Stops, forgets the position in EVENTS, and starts: every message comes once more. */
  async restartFromTheBeginning(): Promise<void> {
    await this.stop();
    await this.bus.manager.consumers.delete("EVENTS", "ingestion-all");
    await this.resume();
    await this.settled();
  }

  /** Publishes with an id of the message's own, so that the broker's window hides no duplicate. Answers its place in EVENTS. */
  publish(event: Event, subject = eventSubject(event.app, event.type)): Promise<number> {
    return this.publishBytes(subject, toBinary(EventSchema, event));
  }

  async publishBytes(subject: string, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<number> {
    this.#published += 1;
    const { seq } = await this.bus.publishBytes(subject, bytes, { id: `message${this.#published}`, headers });
    return seq;
  }

  /** Waits until everything that was published is stored, published and acknowledged. */
  async settled(): Promise<void> {
    const { state } = await this.bus.manager.streams.info("EVENTS");
    await waitFor(
      async () => {
        const consumer = await this.bus.manager.consumers.info("EVENTS", "ingestion-all");
        return consumer.ack_floor.stream_seq >= state.last_seq;
      },
      { what: "every message to be acknowledged", deadlineMs: 30_000 },
    );
    await waitFor(async () => (await this.database.query({ text: "SELECT FROM outbox" })).length === 0, {
      what: "the outbox to be empty",
    });
  }

  async counts(app = APP): Promise<CountEventsResponse> {
    using log = connectRpc(EventLogService, this.#address);
    return await log.countEvents({ app });
  }

  async quality(request: MessageInitShape<typeof ListDataQualityRequestSchema> = {}): Promise<ListDataQualityResponse> {
    using quality = connectRpc(DataQualityService, this.#address);
    return await quality.listDataQuality({ app: APP, ...request });
  }

  async readLog(
    request: { app?: string; types?: string[]; knownFromMs?: number; knownBeforeMs?: number } = {},
  ): Promise<AcceptedEvent[]> {
    using log = connectRpc(EventLogService, this.#address);
    const events: AcceptedEvent[] = [];
    const responses = log.readEvents({
      app: request.app ?? APP,
      types: request.types ?? [],
      ...(request.knownFromMs === undefined ? {} : { knownFrom: timestampFromMs(request.knownFromMs) }),
      ...(request.knownBeforeMs === undefined ? {} : { knownBefore: timestampFromMs(request.knownBeforeMs) }),
    });
    for await (const response of responses) events.push(...response.events);
    return events;
  }

  /** All messages of a stream. */
  async readStream(stream: string): Promise<JsMsg[]> {
    const { state } = await this.bus.manager.streams.info(stream);
    if (state.messages === 0) return [];
    const consumer = await this.bus.jetstream.consumers.get(stream, {});
    const messages: JsMsg[] = [];
    for await (const message of await consumer.consume()) {
      messages.push(message);
      if (message.seq >= state.last_seq) break;
    }
    return messages;
  }

  /** All events of ACCEPTED, in its order. */
  async republished(): Promise<AcceptedEvent[]> {
    const messages = await this.readStream("ACCEPTED");
    return messages.flatMap(({ data }) => fromBinary(AcceptedEventsSchema, data).events);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#servers.disposeAsync();
  }
}

const configFor = (nats: TestNats, postgres: TestPostgres): IngestionConfig => ({
  bus: nats.as("ingestion"),
  database: { url: postgres.url("ingestion"), schema: "ingestion", maxConnections: 4 },
  grpcAddress: "127.0.0.1:0",
  maxBatch: 200,
  ackWaitMs: 10_000,
  retentionDays: undefined,
});
