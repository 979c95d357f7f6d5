import { type Bus, decode, featureBucket } from "@millrace/bus";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import { watermarkKey } from "./bucketWriter.ts";
import { LivePartition, type LivePartitionOptions } from "./livePartition.ts";
import { PartitionLeases } from "./partitionLeases.ts";

export type LiveAppOptions = Omit<LivePartitionOptions, "share" | "mayWrite" | "onFenced">;

/**
 * Keeps one app's features live: makes its bucket, and runs those of its partitions that this replica has, each with a consumer, a
 * checkpoint and a watermark of its own.
 */
export class LiveApp implements AsyncDisposable {
  readonly set: LiveAppOptions["set"];
  readonly #options: LiveAppOptions;
  readonly #running = new Map<number, LivePartition>();
  #leases: PartitionLeases | undefined;

  private constructor(options: LiveAppOptions) {
    this.set = options.set;
    this.#options = options;
  }

  /** Resolves once the partitions that this replica could have at once go on where they were. */
  static async start(options: LiveAppOptions): Promise<LiveApp> {
    const { bus, app, config, logger, onFailure } = options;
    const { partitions, replicas, replica, leaseMs } = config;
    await bus.createKeyValue(featureBucket(app), { history: 1, replicas });
    await requireSamePartitions(bus, app, partitions);
    const live = new LiveApp(options);
    live.#leases = await PartitionLeases.start(
      {
        bus,
        app,
        partitions,
        replica,
        leaseMs,
        clock: { now: () => performance.now() },
        logger,
        onTaken: (partition) => live.#begin(partition),
        onGone: (partition, lost) => live.#end(partition, lost),
      },
      onFailure,
    );
    return live;
  }

  /** The partitions that this replica has. */
  get partitions(): number[] {
    return [...this.#running.keys()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leases?.[Symbol.asyncDispose]();
  }

  async #begin(partition: number): Promise<void> {
    const { config } = this.#options;
    const running = await LivePartition.start({
      ...this.#options,
      share: { partition, partitions: config.partitions },
      // The lease is taken before there are leases to ask.
      mayWrite: () => this.#leases?.holds(partition) ?? true,
      onFenced: (error) => this.#fenced(partition, error),
    });
    this.#running.set(partition, running);
  }

  async #end(partition: number, lost: boolean): Promise<void> {
    const running = this.#running.get(partition);
    this.#running.delete(partition);
    await (lost ? running?.abandon() : running?.[Symbol.asyncDispose]());
  }

  /** Another process wrote the partition. If it is this replica's all the same, it begins again from what is stored. */
  #fenced(partition: number, error: unknown): void {
    const { app, logger, onFailure } = this.#options;
    logger.warn(
      { err: error, app, partition },
      `partition ${partition} of ${app} begins again: ${describeError(error)}`,
    );
    void (async () => {
      await this.#end(partition, true);
      if (this.#leases?.holds(partition) === true) await this.#begin(partition);
    })().catch(onFailure);
  }
}

/** Stored features and checkpoints are divided by the number of partitions that they were made with. */
async function requireSamePartitions(bus: Bus, app: string, partitions: number): Promise<void> {
  const name = featureBucket(app);
  const entry = await (await bus.keyValue(name)).get(watermarkKey(0));
  if (entry?.operation !== "PUT") return;
  const stored = decode(WatermarkSchema, entry.value).partitions || 1;
  if (stored === partitions) return;
  throw new MillraceError(
    "internal",
    `The bucket ${name} is divided into ${stored} partitions, and FEATURE_PARTITIONS is ${partitions}. Set it to ${stored}; or stop every replica, ` +
      `delete the bucket and the app's checkpoints (nats kv del ${name}; nats object del checkpoints ${app}.<partition>), and start: the features are made anew from ACCEPTED or, where that does not reach back far enough, from the event log`,
  );
}
