import {
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { type NatsConnection, nanos } from "@nats-io/transport-node";

const DAY_MS = 86_400_000;

/** One stream: what it carries and how long it keeps it. */
export interface StreamDefinition {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: "limits" | "work queue";
  readonly maxAgeMs: number;
  /**
   * When full, a stream that producers feed refuses new messages, so that nothing acknowledged is ever dropped unread; the
   * others drop their oldest, which their consumers have stored.
   */
  readonly whenFull: "refuse new" | "drop oldest";
}

/** Every stream of the bus, in the order of the data's way through the system. */
export const STREAMS: readonly StreamDefinition[] = [
  stream("EVENTS", ["events.>"], { maxAgeMs: 7 * DAY_MS, whenFull: "refuse new" }),
  stream("ACCEPTED", ["accepted.>"], { maxAgeMs: 7 * DAY_MS }),
  stream("REJECTED", ["rejected.>"], { maxAgeMs: 30 * DAY_MS }),
  stream("QUALITY", ["quality.>"], { maxAgeMs: 90 * DAY_MS }),
  stream("PREDICTIONS", ["predictions.>"], { maxAgeMs: 7 * DAY_MS }),
  stream("OUTCOMES", ["outcomes.>"], { maxAgeMs: 7 * DAY_MS }),
  stream("LABELS", ["labels.>"], { maxAgeMs: 90 * DAY_MS }),
  stream("REVIEW", ["feedback.review.>"], { maxAgeMs: 30 * DAY_MS }),
  stream("TRAINING", ["training.jobs.>", "training.results.>"], {
    retention: "work queue",
    maxAgeMs: 30 * DAY_MS,
    whenFull: "refuse new",
  }),
  stream("TRAINERS", ["trainers.jobs.>"], { retention: "work queue", maxAgeMs: DAY_MS }),
  stream("MODELS", ["models.>"], { maxAgeMs: 365 * DAY_MS }),
  stream("ALERTS", ["alerts.>"], { maxAgeMs: 90 * DAY_MS }),
];

/**
 * KV buckets, with how many past values of a key they keep. `features_<app>` is made by the feature service; `feature_leases` says which of
 * its replicas has which partition.
 */
export const KEY_VALUE_BUCKETS: readonly { readonly name: string; readonly history: number }[] = [
  { name: "feature_leases", history: 1 },
  { name: "apps", history: 32 },
  { name: "deployments", history: 32 },
];

/** Object stores: ONNX files by content hash, datasets, the feature service's checkpoints, and what trainers outside of Millrace bring. */
export const OBJECT_STORES: readonly { readonly name: string; readonly maxAgeMs?: number }[] = [
  { name: "models" },
  { name: "datasets" },
  { name: "checkpoints" },
  // A model that is taken is copied to `models`.
  { name: "trained", maxAgeMs: DAY_MS },
];

/** Messages with an id seen within this time are duplicates to the broker; beyond it, consumers are idempotent themselves. */
const DUPLICATE_WINDOW_MS = 120_000;

export interface ProvisionOptions {
  /** Copies of every stream and bucket; 3 on a cluster. */
  readonly replicas?: number;
  /** JetStream sets this much storage aside for each stream. Default: none; the server's own limit is the limit. */
  readonly maxBytesPerStream?: number;
}

/** Creates the streams and buckets that do not exist yet, and brings the others up to date. */
export async function provisionBus(
  connection: NatsConnection,
  { replicas = 1, maxBytesPerStream = -1 }: ProvisionOptions = {},
): Promise<void> {
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  for (const definition of STREAMS) await provisionStream(manager, definition, { replicas, maxBytesPerStream });
  await provisionBuckets(client, replicas);
}

async function provisionStream(
  manager: JetStreamManager,
  definition: StreamDefinition,
  { replicas, maxBytesPerStream }: Required<ProvisionOptions>,
): Promise<void> {
  const config: Partial<StreamConfig> & { name: string } = {
    name: definition.name,
    subjects: [...definition.subjects],
    retention: definition.retention === "limits" ? RetentionPolicy.Limits : RetentionPolicy.Workqueue,
    storage: StorageType.File,
    discard: definition.whenFull === "refuse new" ? DiscardPolicy.New : DiscardPolicy.Old,
    max_age: nanos(definition.maxAgeMs),
    max_bytes: maxBytesPerStream,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    num_replicas: replicas,
    allow_direct: true,
  };
  const known = await streamNames(manager);
  if (known.has(definition.name)) await manager.streams.update(definition.name, config);
  else await manager.streams.add(config);
}

async function streamNames(manager: JetStreamManager): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const name of manager.streams.names()) names.add(name);
  return names;
}

async function provisionBuckets(client: JetStreamClient, replicas: number): Promise<void> {
  const keyValues = new Kvm(client);
  for (const { name, history } of KEY_VALUE_BUCKETS) await keyValues.create(name, { history, replicas });
  const objects = new Objm(client);
  for (const { name, maxAgeMs } of OBJECT_STORES) {
    const ttl = maxAgeMs === undefined ? {} : { ttl: nanos(maxAgeMs) };
    await objects.create(name, { replicas, storage: StorageType.File, ...ttl });
  }
}

function stream(
  name: string,
  subjects: readonly string[],
  options: Partial<StreamDefinition> & { maxAgeMs: number },
): StreamDefinition {
  return { name, subjects, retention: "limits", whenFull: "drop oldest", ...options };
}
