import type { SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { DatasetRow } from "./labelJoin.ts";
import { TEXT_COLUMN } from "./textFields.ts";

/** Rows that are turned into columns at once; a reader can skip and load by so many. */
const ROW_GROUP_ROWS = 65_536;

/** One Parquet file in memory, written row group by row group. Columns as in dataset_service.proto. */
export class ParquetPart {
  readonly #names: readonly string[];
  readonly #textFields: readonly string[];
  readonly #bytes = new ByteWriter();
  readonly #parquet: ParquetWriter;
  #pending: DatasetRow[] = [];
  rows = 0;
  rowGroups = 0;

  /** @param textFields fields of the request that rows have as texts */
  constructor(featureNames: readonly string[], textFields: readonly string[] = []) {
    this.#names = featureNames;
    this.#textFields = textFields;
    const schema = schemaOf(featureNames, textFields);
    this.#parquet = new ParquetWriter({ writer: this.#bytes, schema, createdBy: "millrace" });
  }

  /** Adds a row. What it returns, when it does, is to be waited for. */
  add(row: DatasetRow): Promise<void> | undefined {
    this.#pending.push(row);
    this.rows += 1;
    return this.#pending.length >= ROW_GROUP_ROWS ? this.#writeGroup() : undefined;
  }

  /** The finished file. */
  async finish(): Promise<Uint8Array> {
    if (this.#pending.length > 0) await this.#writeGroup();
    await this.#parquet.finish();
    return this.#bytes.getBytes();
  }

  async #writeGroup(): Promise<void> {
    const rows = this.#pending;
    this.#pending = [];
    this.rowGroups += 1;
    const columnData = [
      { name: "key", data: rows.map(({ key }) => key) },
      { name: "occurred_at", data: rows.map(({ occurredAtMs }) => new Date(occurredAtMs)) },
      ...this.#names.map((name, index) => ({
        name,
        data: rows.map(({ features }) => orNull(features[index] as number)),
      })),
      { name: "label", data: rows.map(({ label }) => orNull(label)) },
      ...this.#textFields.map((name, index) => ({
        name: TEXT_COLUMN + name,
        data: rows.map(({ texts }) => texts?.[index] ?? null),
      })),
    ];
    await this.#parquet.write({ columnData, rowGroupSize: ROW_GROUP_ROWS });
  }
}

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

function schemaOf(featureNames: readonly string[], textFields: readonly string[]): SchemaElement[] {
  const double = (name: string): SchemaElement => ({ name, type: "DOUBLE", repetition_type: "OPTIONAL" });
  const columns: SchemaElement[] = [
    { name: "key", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
    {
      name: "occurred_at",
      type: "INT64",
      converted_type: "TIMESTAMP_MILLIS",
      // DuckDB takes a time without it for one of no time zone, and compares it as local time.
      logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MILLIS" },
      repetition_type: "REQUIRED",
    },
    ...featureNames.map(double),
    double("label"),
    ...textFields.map((name): SchemaElement => {
      return { name: TEXT_COLUMN + name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" };
    }),
  ];
  return [{ name: "dataset", num_children: columns.length }, ...columns];
}
