import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { connectBus, decode } from "@millrace/bus";
import type { Platform } from "@millrace/local";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { type Prediction, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { parquetReadObjects } from "hyparquet";

const NOT_FEATURES: ReadonlySet<string> = new Set(["key", "occurred_at", "label"]);

export interface Comparison {
  /** Predictions made from features, of the stretch of time. */
  readonly compared: number;
  /** Those whose answer said that its features are exact. */
  readonly exact: number;
  /** Of those, the ones of which at least one feature differs by at least one bit from the dataset's, or whose row is missing. */
  readonly different: readonly string[];
}

/** Builds the dataset of a stretch of time, and compares it with the features that predictions of that time were made from. */
export async function compareServedFeatures(
  platform: Platform,
  app: string,
  range: { readonly fromMs: number; readonly toMs: number },
): Promise<Comparison> {
  const history = await readDataset(platform, app, range);
  let compared = 0;
  let exact = 0;
  const different: string[] = [];
  for await (const { joinKey, features, featuresExact, occurredAt } of storedPredictions(platform)) {
    const atMs = occurredAt === undefined ? 0 : timestampMs(occurredAt);
    if (features.length === 0 || atMs < range.fromMs || atMs >= range.toMs) continue;
    compared += 1;
    if (!featuresExact) continue;
    exact += 1;
    const expected = history.get(joinKey);
    if (expected?.every((value, index) => Object.is(value, features[index]))) continue;
    different.push(`${joinKey}: served ${features.join(", ")}; history ${expected?.join(", ") ?? "has no row"}`);
  }
  return { compared, exact, different };
}

async function* storedPredictions(platform: Platform): AsyncGenerator<Prediction> {
  await using bus = await connectBus(platform.nats("admin"), "served features", silentLogger);
  const { state } = await bus.manager.streams.info("PREDICTIONS");
  if (state.messages === 0) return;
  const consumer = await bus.jetstream.consumers.get("PREDICTIONS");
  for await (const message of await consumer.consume()) {
    yield decode(PredictionSchema, message.data);
    if (message.seq >= state.last_seq) return;
  }
}

/** Features by key, in the order of their names; a null is NaN. */
async function readDataset(
  platform: Platform,
  app: string,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): Promise<Map<string, number[]>> {
  await using bus = await connectBus(platform.nats("admin"), "served features", silentLogger);
  using datasets = connectRpc(DatasetService, platform.grpc("feature"));
  let manifest: DatasetManifest | undefined;
  const known = timestampFromMs(toMs + 7 * 86_400_000);
  const range = { from: timestampFromMs(fromMs), to: timestampFromMs(toMs), knownBefore: known };
  for await (const { step } of datasets.buildDataset({ app, ...range })) {
    if (step.case === "manifest") manifest = step.value;
  }
  if (manifest === undefined) throw new Error("BuildDataset ended without a manifest");
  const names = manifest.columns
    .map(({ name }) => name)
    .filter((name) => !NOT_FEATURES.has(name))
    .sort();
  const store = await bus.objects("datasets");
  const rows = new Map<string, number[]>();
  for (const object of manifest.objects) {
    const bytes = await store.getBlob(object);
    if (bytes === null) throw new Error(`the dataset's object ${object} is missing`);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    for (const row of await parquetReadObjects({ file })) {
      rows.set(
        String(row["key"]),
        names.map((name) => (row[name] as number | null) ?? Number.NaN),
      );
    }
  }
  return rows;
}
