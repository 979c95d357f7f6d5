import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { parquetReadObjects } from "hyparquet";
import { streamMessages } from "./streamMessages.ts";

export interface Comparison {
  /** Predictions made from features, of the stretch of time. */
  readonly compared: number;
  /** Those whose answer said that its features are exact. */
  readonly exact: number;
  /** Of those, the ones of which at least one feature differs by at least one bit from the dataset's, or whose row is missing. */
  readonly different: readonly string[];
}

export interface ComparedStretch {
  readonly app: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const NOT_FEATURES: ReadonlySet<string> = new Set(["key", "occurred_at", "label"]);
/** Whatever became known so long after the end of the stretch is of no use to its rows' features; labels do not matter here. */
const KNOWN_AFTER_MS = 7 * 86_400_000;

/** Builds the dataset of a stretch of time, and compares it with the features that predictions of that time were made from. */
export async function compareServedFeatures(
  bus: Bus,
  datasetAddress: string,
  stretch: ComparedStretch,
): Promise<Comparison> {
  const { app, fromMs, toMs } = stretch;
  const history = await readDataset(bus, datasetAddress, stretch);
  let compared = 0;
  let exact = 0;
  const different: string[] = [];
  for await (const prediction of storedPredictions(bus, app)) {
    const { joinKey, features, featuresExact, occurredAt } = prediction;
    const atMs = occurredAt === undefined ? 0 : timestampMs(occurredAt);
    if (features.length === 0 || atMs < fromMs || atMs >= toMs) continue;
    compared += 1;
    if (!featuresExact) continue;
    exact += 1;
    const expected = history.get(joinKey);
    if (expected?.every((value, index) => Object.is(value, features[index]))) continue;
    different.push(`${joinKey}: served ${features.join(", ")}; history ${expected?.join(", ") ?? "has no row"}`);
  }
  return { compared, exact, different };
}

async function* storedPredictions(bus: Bus, app: string): AsyncGenerator<Prediction> {
  for await (const { predictions } of streamMessages(bus, "PREDICTIONS", `predictions.${app}`, PredictionsSchema))
    yield* predictions;
}

/** Features by key, in the order of their names; a null is NaN. */
export async function readDataset(
  bus: Bus,
  address: string,
  stretch: ComparedStretch,
): Promise<Map<string, Float64Array>> {
  const manifest = await buildDataset(address, stretch);
  const names = manifest.columns
    .map(({ name }) => name)
    .filter((name) => !NOT_FEATURES.has(name))
    .sort();
  const store = await bus.objects("datasets");
  const rows = new Map<string, Float64Array>();
  for (const object of manifest.objects) {
    const bytes = await store.getBlob(object);
    if (bytes === null) throw new MillraceError("data_loss", `the dataset's object ${object} is missing`);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    for (const row of await parquetReadObjects({ file })) {
      const features = Float64Array.from(names, (name) => (row[name] as number | null) ?? Number.NaN);
      rows.set(String(row["key"]), features);
    }
  }
  return rows;
}

async function buildDataset(address: string, { app, fromMs, toMs }: ComparedStretch): Promise<DatasetManifest> {
  using datasets = connectRpc(DatasetService, address);
  const range = {
    from: timestampFromMs(fromMs),
    to: timestampFromMs(toMs),
    knownBefore: timestampFromMs(toMs + KNOWN_AFTER_MS),
  };
  for await (const { step } of datasets.buildDataset({ app, ...range })) {
    if (step.case === "manifest") return step.value;
  }
  throw new MillraceError("internal", "BuildDataset ended without a manifest");
}
