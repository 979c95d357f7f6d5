import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type ConfigReader, describeError, type Logger, MillraceError } from "@millrace/runtime";
import {
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type PubAck,
} from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { type ObjectStore, Objm } from "@nats-io/obj";
import { connect, headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { ConfirmedPublisher } from "./confirmedPublisher.ts";
import { type ConsumerOptions, RunningConsumer } from "./consumer.ts";
import { PipelinedPublisher } from "./pipelinedPublisher.ts";
import { type Traceparent, traceparentOf } from "./trace.ts";

/** How to reach NATS. */
export interface BusConfig {
  /** `nats://host:port`, several separated by commas. */
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/** Reads `NATS_URL`, `NATS_USER`, `NATS_PASSWORD`. */
export function readBusConfig(reader: ConfigReader): BusConfig {
  return {
    url: reader.string("NATS_URL", "nats://127.0.0.1:4222"),
    user: reader.optional("NATS_USER"),
    password: reader.optional("NATS_PASSWORD"),
  };
}

export interface PublishOptions {
  /** The message's id: a second publication with it, within the broker's window, is acknowledged and not stored. */
  readonly id: string;
  /** Default: the active span's. */
  readonly traceparent?: Traceparent;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** A connection to NATS with JetStream. */
export class Bus implements AsyncDisposable {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly #inboxPrefix: string | undefined;
  readonly #logger: Logger;

  private constructor(
    connection: NatsConnection,
    manager: JetStreamManager,
    inboxPrefix: string | undefined,
    logger: Logger,
  ) {
    this.connection = connection;
    this.#inboxPrefix = inboxPrefix;
    this.jetstream = jetstream(connection);
    this.manager = manager;
    this.#logger = logger;
  }

  /**
   * Connects; later breaks are mended by itself, for ever.
   *
   * @throws `unavailable` when no server answers, naming the address.
   */
  static async connect(config: BusConfig, name: string, logger: Logger): Promise<Bus> {
    const inboxPrefix = config.user === undefined ? undefined : `_INBOX_${config.user}`;
    try {
      const connection = await connect({
        servers: config.url.split(","),
        name,
        ...(config.user === undefined ? {} : { user: config.user }),
        ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
        ...(config.password === undefined ? {} : { pass: config.password }),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        ignoreAuthErrorAbort: true,
        // A stack trace for every request in case it fails is a tenth of a publisher's CPU.
        noAsyncTraces: true,
      });
      return new Bus(connection, await jetstreamManager(connection, { checkAPI: false }), inboxPrefix, logger);
    } catch (cause) {
      throw new MillraceError(
        "unavailable",
        `No NATS server with JetStream at ${config.url} (NATS_URL): ${describeError(cause)}`,
        { cause },
      );
    }
  }

  /** Publishes a message and waits until the stream has stored it. */
  publish<Desc extends DescMessage>(
    subject: string,
    schema: Desc,
    message: MessageShape<Desc>,
    options: PublishOptions,
  ): Promise<PubAck> {
    return this.publishBytes(subject, toBinary(schema, message), options);
  }

  /**
   * Publishes bytes and waits until the stream has stored them.
   *
   * @throws `unavailable` when the stream does not confirm in time; the message may have been stored all the same, so
   *   publish it again with the same id.
   */
  async publishBytes(subject: string, data: Uint8Array, options: PublishOptions): Promise<PubAck> {
    const traceparent = options.traceparent ?? traceparentOf();
    const extra = extraHeaders(traceparent, options.headers);
    try {
      return await this.jetstream.publish(subject, data, {
        msgID: options.id,
        timeout: options.timeoutMs ?? 5_000,
        ...(extra === undefined ? {} : { headers: extra }),
      });
    } catch (cause) {
      throw new MillraceError("unavailable", `NATS did not confirm a message on ${subject}: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /** Starts a durable consumer; dispose of it to stop. */
  consume(options: ConsumerOptions): Promise<RunningConsumer> {
    return RunningConsumer.start(this, options, this.#logger);
  }

  /** Publishes many messages to a stream, and counts their acknowledgements. */
  confirmedPublisher(): ConfirmedPublisher {
    return new ConfirmedPublisher(this.connection, this.#inboxPrefix);
  }

  /** Publishes messages with many on their way at once, each confirmed for itself. */
  pipelinedPublisher(timeoutMs: number): PipelinedPublisher {
    return new PipelinedPublisher(this.connection, this.#inboxPrefix, timeoutMs);
  }

  /** Opens a bucket that exists. @throws `not_found` when it does not. */
  async keyValue(bucket: string): Promise<KV> {
    try {
      return await new Kvm(this.jetstream).open(bucket, { allow_direct: true });
    } catch (cause) {
      throw new MillraceError("not_found", `The KV bucket ${bucket} does not exist; has the bus been provisioned?`, {
        cause,
      });
    }
  }

  /** Opens a bucket, making it when there is none. */
  createKeyValue(bucket: string, options: { history: number; replicas?: number }): Promise<KV> {
    return new Kvm(this.jetstream).create(bucket, { ...options, allow_direct: true });
  }

  /** Opens an object store that exists. @throws `not_found` when it does not. */
  async objects(store: string): Promise<ObjectStore> {
    try {
      return await new Objm(this.jetstream).open(store);
    } catch (cause) {
      throw new MillraceError("not_found", `The object store ${store} does not exist; has the bus been provisioned?`, {
        cause,
      });
    }
  }

  /** Sends what is still to be sent, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.connection.isClosed()) await this.connection.drain().catch(() => this.connection.close());
  }
}

/** Connects to the bus. */
export const connectBus = (config: BusConfig, name: string, logger: Logger): Promise<Bus> =>
  Bus.connect(config, name, logger);

/**
 * Decodes a message's bytes.
 *
 * @throws `invalid_argument` for bytes that are not such a message.
 */
export function decode<Desc extends DescMessage>(schema: Desc, data: Uint8Array): MessageShape<Desc> {
  try {
    return data.length === 0 ? create(schema) : fromBinary(schema, data);
  } catch (cause) {
    throw new MillraceError(
      "invalid_argument",
      `${data.length} bytes are not a ${schema.typeName}: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
}

function extraHeaders(
  traceparent: Traceparent,
  more: Readonly<Record<string, string>> | undefined,
): MsgHdrs | undefined {
  if (traceparent === "" && more === undefined) return undefined;
  const result = headers();
  if (traceparent !== "") result.set("traceparent", traceparent);
  for (const [name, value] of Object.entries(more ?? {})) result.set(name, value);
  return result;
}
