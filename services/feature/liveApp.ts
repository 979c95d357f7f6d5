import { type Bus, decode, featureBucket } from "@millrace/bus";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { watermarkKey } from "./bucketWriter.ts";
import { LivePartition, type LivePartitionOptions } from "./livePartition.ts";

export type LiveAppOptions = Omit<LivePartitionOptions, "share">;

/** Keeps one app's features live: makes its bucket, and runs its partitions, each with a consumer, a checkpoint and a watermark of its own. */
export class LiveApp implements AsyncDisposable {
  readonly set: LiveAppOptions["set"];
  readonly #partitions: AsyncDisposableStack;

  private constructor({ set }: LiveAppOptions, partitions: AsyncDisposableStack) {
    this.set = set;
    this.#partitions = partitions;
  }

  static async start(options: LiveAppOptions): Promise<LiveApp> {
    const { bus, app, config } = options;
    const { partitions, replicas } = config;
    await bus.createKeyValue(featureBucket(app), { history: 1, replicas });
    await requireSamePartitions(bus, app, partitions);
    await using stack = new AsyncDisposableStack();
    for (let partition = 0; partition < partitions; partition += 1) {
      stack.use(await LivePartition.start({ ...options, share: { partition, partitions } }));
    }
    return new LiveApp(options, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#partitions.disposeAsync();
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
      `delete the bucket and the app's checkpoints (nats kv del ${name}; nats object del checkpoints ${app}.<partition>), and start: the features are made anew from ACCEPTED`,
  );
}
