import { equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Bus, decode, modelSubject } from "@millrace/bus";
import { type Deployment, DeploymentSchema, ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, type Logger, MillraceError } from "@millrace/runtime";
import type { OutboxRow, TrainingStore } from "./store.ts";

const RETRY_MS = 1_000;

/**
 * Publishes what a transaction left in the outbox: first who serves (KV `deployments`), then the events (stream MODELS), then files go that
 * nothing refers to. A crash in between does it again at the next start: the KV value is the same, and the events have the same ids.
 */
export class Outbox implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #store: TrainingStore;
  readonly #logger: Logger;
  #queue: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(bus: Bus, store: TrainingStore, logger: Logger) {
    this.#bus = bus;
    this.#store = store;
    this.#logger = logger;
  }

  /** Publishes everything that waits. @throws `unavailable` when the bus or the database is away; it goes on trying itself. */
  flush(): Promise<void> {
    const run = this.#queue.then(() => this.#store.drainOutbox((rows) => this.#publish(rows)));
    this.#queue = run.catch((error: unknown) => {
      this.#logger.warn({ err: error }, `could not publish the outbox yet: ${describeError(error)}`);
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        void this.flush().catch(() => undefined);
      }, RETRY_MS).unref();
    });
    return run;
  }

  /** Publishes what waits and makes the bucket agree with the registry, whatever happened to it. */
  async reconcile(): Promise<void> {
    await this.flush();
    for (const deployment of await this.#store.deployments()) await this.#writeDeployment(deployment);
  }

  async #publish(rows: readonly OutboxRow[]): Promise<void> {
    const newest = new Map<string, Uint8Array>();
    for (const { kind, app, message } of rows) if (kind === "deployment") newest.set(app, message);
    for (const message of newest.values()) await this.#writeDeployment(fromBinary(DeploymentSchema, message));
    for (const { kind, message, traceparent } of rows) {
      if (kind !== "event") continue;
      const event = fromBinary(ModelEventSchema, message);
      await this.#bus.publishBytes(modelSubject(event.app, event.what), message, { id: event.id, traceparent });
    }
    for (const { kind, message } of rows)
      if (kind === "deletion") await this.#deleteFile(Buffer.from(message).toString());
  }

  async #deleteFile(name: string): Promise<void> {
    const store = await this.#bus.objects("models");
    try {
      if ((await store.info(name))?.deleted === false) await store.delete(name);
    } catch (cause) {
      throw new MillraceError("unavailable", `The model file ${name} was not deleted: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  async #writeDeployment(deployment: Deployment): Promise<void> {
    try {
      const bucket = await this.#bus.keyValue("deployments");
      const entry = await bucket.get(deployment.app);
      if (entry?.operation === "PUT" && equals(DeploymentSchema, decode(DeploymentSchema, entry.value), deployment))
        return;
      await bucket.put(deployment.app, toBinary(DeploymentSchema, deployment));
    } catch (cause) {
      throw new MillraceError(
        "unavailable",
        `The deployment of ${deployment.app} was not stored: ${describeError(cause)}`,
        {
          cause,
        },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#retry);
    await this.#queue;
  }
}
