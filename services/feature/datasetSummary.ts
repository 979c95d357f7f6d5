import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import type { DatasetFile } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { ColumnSummary } from "./columnStatistics.ts";
import { ContentHash, type DatasetDefinition } from "./contentHash.ts";
import { definitionsOf, labelDefinitionOf } from "./featureDefinitions.ts";
import type { DatasetRow, JoinCounts } from "./labelJoin.ts";
import { LabelTally } from "./labelTally.ts";
import { RowSample } from "./rowSample.ts";

/** The program, as manifests name it. */
const CREATED_BY = "millrace feature 0.1.0";

/** What only the builder knows. */
export interface BuildFacts {
  readonly appVersion: number;
  readonly files: readonly DatasetFile[];
  readonly eventsRead: number;
}

/** Watches a dataset's rows go by, in bounded memory, and describes them in a manifest. */
export class DatasetSummary {
  readonly #definition: DatasetDefinition;
  readonly #names: readonly string[];
  readonly #hash: ContentHash;
  readonly #columns: readonly ColumnSummary[];
  readonly #label = new ColumnSummary();
  readonly #tally: LabelTally;
  /** The features, the label, and how long after the prediction it was known. */
  readonly #sample: RowSample;
  #rows = 0;
  #firstMs = Infinity;
  #lastMs = -Infinity;

  constructor(definition: DatasetDefinition, names: readonly string[], waitMs: number) {
    this.#definition = definition;
    this.#names = names;
    this.#hash = new ContentHash(definition);
    this.#columns = names.map(() => new ColumnSummary());
    this.#tally = new LabelTally(waitMs);
    this.#sample = new RowSample(names.length + 2);
  }

  get rows(): number {
    return this.#rows;
  }

  /** @param logClockMs everything known before has been read */
  add(row: DatasetRow, logClockMs: number): void {
    const { features, label, occurredAtMs } = row;
    this.#rows += 1;
    if (occurredAtMs < this.#firstMs) this.#firstMs = occurredAtMs;
    if (occurredAtMs > this.#lastMs) this.#lastMs = occurredAtMs;
    this.#hash.add(row);
    for (let index = 0; index < features.length; index += 1) {
      (this.#columns[index] as ColumnSummary).add(features[index] as number);
    }
    this.#label.add(label);
    this.#tally.add(row, logClockMs);
    if (!this.#sample.next()) return;
    for (let index = 0; index < features.length; index += 1) this.#sample.set(index, features[index] as number);
    this.#sample.set(features.length, label);
    this.#sample.set(features.length + 1, row.labelKnownAtMs - occurredAtMs);
  }

  /** Describes what was made; call it once, after the last row. */
  manifest(counts: JoinCounts, logClockMs: number, { appVersion, files, eventsRead }: BuildFacts): DatasetManifest {
    const { app, fromMs, toMs, knownBeforeMs } = this.#definition;
    const labels = this.#sample.column(this.#names.length);
    const label = labelDefinitionOf(app);
    const split = this.#tally.split(app.model?.holdout ?? 0);
    return create(DatasetManifestSchema, {
      contentHash: this.#hash.digest(),
      app: app.app,
      appVersion,
      ...optionalTime("from", fromMs),
      ...optionalTime("to", toMs),
      ...optionalTime("knownBefore", knownBeforeMs),
      ...optionalTime("firstRowAt", this.#firstMs),
      ...optionalTime("lastRowAt", this.#lastMs),
      ...optionalTime("logEnd", logClockMs),
      rows: BigInt(this.#rows),
      labelledRows: BigInt(this.#label.count),
      objects: files.map(({ name }) => name),
      files: [...files],
      columns: [
        ...this.#names.map((name, index) =>
          (this.#columns[index] as ColumnSummary).statistics(name, this.#sample.column(index), labels),
        ),
        this.#label.statistics("label", labels),
      ],
      features: definitionsOf(app),
      ...(label === undefined ? {} : { label }),
      predictionAt: app.prediction?.at ?? "",
      eventsRead: BigInt(eventsRead),
      sampleRows: BigInt(this.#sample.rows),
      labels: this.#tally.statistics(counts, this.#sample.column(this.#names.length + 1)),
      ...(split === undefined ? {} : { split }),
      createdBy: CREATED_BY,
    });
  }
}

const optionalTime = <Name extends string>(
  name: Name,
  ms: number | undefined,
): { [key in Name]?: ReturnType<typeof timestampFromMs> } =>
  ms === undefined || !Number.isFinite(ms)
    ? {}
    : ({ [name]: timestampFromMs(Math.floor(ms)) } as { [key in Name]: ReturnType<typeof timestampFromMs> });
