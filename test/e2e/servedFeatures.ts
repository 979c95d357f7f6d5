import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { connectBus } from "@millrace/bus";
import type { Platform } from "@millrace/local";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { parquetReadObjects } from "hyparquet";

const NOT_FEATURES: ReadonlySet<string> = new Set(["key", "occurred_at", "label"]);

export interface Comparison {
  readonly compared: number;
  /** Predictions of which at least one feature differs by at least one bit from the dataset's, or whose row is missing. */
  readonly different: number;
}

/** Builds the dataset of a stretch of time, and compares it with the features that predictions of that time were made from. */
export async function compareServedFeatures(
  platform: Platform,
  app: string,
  range: { readonly fromMs: number; readonly toMs: number },
): Promise<Comparison> {
  const history = await readDataset(platform, app, range);
  using feedback = connectRpc(FeedbackService, platform.grpc("feedback"));
  let compared = 0;
  let different = 0;
  for await (const { rows } of feedback.readOutcomes({ app })) {
    for (const { joinKey, features } of rows) {
      compared += 1;
      const expected = history.get(joinKey);
      if (expected === undefined || !expected.every((value, index) => Object.is(value, features[index])))
        different += 1;
    }
  }
  return { compared, different };
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
