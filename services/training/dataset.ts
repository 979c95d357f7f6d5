import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import { FindingLevel } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { describeError, MillraceError } from "@millrace/runtime";
import { checkMemory } from "./memoryLimit.ts";
import { type Dataset, readParquet } from "./parquet.ts";

export interface DatasetRequest {
  readonly app: string;
  /** Absent: from the beginning. */
  readonly fromMs?: number | undefined;
  /** Nothing known later takes part. Absent: everything there is. */
  readonly asOfMs?: number | undefined;
  readonly signal: AbortSignal;
  /** About so much memory a training of it may take. */
  readonly maxBytes?: number;
}

export interface BuiltDataset {
  readonly manifest: DatasetManifest;
  /** Event time up to which it knows, ms. */
  readonly asOfMs: number;
  readonly rows: Dataset;
}

/** Gets datasets from the feature service: built over gRPC, read from the object store `datasets`. */
export class DatasetClient implements Disposable {
  readonly #bus: Bus;
  readonly #client: RpcClient<typeof DatasetService>;

  constructor(bus: Bus, address: string) {
    this.#bus = bus;
    this.#client = connectRpc(DatasetService, address);
  }

  /**
   * @throws `failed_precondition` when it has no rows; `resource_exhausted` when it is too large; `data_loss` when its objects are missing or not readable; whatever the
   *   feature service answers, `unavailable` when it is away.
   */
  async build({ app, fromMs, asOfMs, signal, maxBytes = Infinity }: DatasetRequest): Promise<BuiltDataset> {
    const manifest = await this.describe({ app, fromMs, asOfMs, signal });
    if (manifest.rows === 0n) {
      throw new MillraceError("failed_precondition", `The app ${app} has no history yet: its dataset has no rows`);
    }
    const featureNames = featureNamesOf(manifest);
    checkMemory(Number(manifest.rows), featureNames.length, maxBytes);
    const store = await this.#bus.objects("datasets");
    const objects: { name: string; bytes: Uint8Array }[] = [];
    for (const name of manifest.objects) {
      const bytes = await store.getBlob(name).catch((cause: unknown) => {
        throw new MillraceError(
          "unavailable",
          `The dataset object ${name} could not be read: ${describeError(cause)}`,
          {
            cause,
          },
        );
      });
      if (bytes === null)
        throw new MillraceError("data_loss", `The dataset object ${name} is not in the store datasets`);
      objects.push({ name, bytes });
    }
    const rows = await readParquet(objects, featureNames);
    const known = asOfMs ?? millisecondsOf(manifest.knownBefore) ?? millisecondsOf(manifest.to);
    return { manifest, rows, asOfMs: known ?? newest(rows.occurredAtMs) + 1 };
  }

  /** What the feature service warns of, one sentence each; none where it cannot tell. */
  async findings(dataset: string, signal: AbortSignal): Promise<string[]> {
    try {
      const { report } = await this.#client.reportDataset({ dataset, withoutLive: true }, { signal });
      return (report?.findings ?? [])
        .filter(({ level }) => level === FindingLevel.WARNING || level === FindingLevel.STOP)
        .map(({ what, advice }) => `${what} ${advice}`);
    } catch (error) {
      if (error instanceof MillraceError && (error.code === "unimplemented" || error.code === "not_found")) return [];
      throw error;
    }
  }

  /** The same dataset, for others to read. @throws whatever the feature service answers */
  async describe({ app, fromMs, asOfMs, signal }: DatasetRequest): Promise<DatasetManifest> {
    const asOf = asOfMs === undefined ? {} : { to: timestampFromMs(asOfMs), knownBefore: timestampFromMs(asOfMs) };
    const from = fromMs === undefined ? {} : { from: timestampFromMs(fromMs) };
    let manifest: DatasetManifest | undefined;
    for await (const { step } of this.#client.buildDataset({ app, ...from, ...asOf }, { signal })) {
      if (step.case === "manifest") manifest = step.value;
    }
    if (manifest === undefined) {
      throw new MillraceError("unavailable", "The feature service ended BuildDataset without a manifest");
    }
    return manifest;
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

const NOT_FEATURES = new Set(["key", "occurred_at", "label"]);

/** A model's input columns, in their order: by name. */
const featureNamesOf = (manifest: DatasetManifest): string[] =>
  manifest.columns
    .map((column) => column.name)
    .filter((name) => !NOT_FEATURES.has(name))
    .sort();

const millisecondsOf = (time: Parameters<typeof timestampMs>[0] | undefined): number | undefined =>
  time === undefined ? undefined : timestampMs(time);

function newest(times: Float64Array): number {
  let result = 0;
  for (const time of times) if (time > result) result = time;
  return result;
}
