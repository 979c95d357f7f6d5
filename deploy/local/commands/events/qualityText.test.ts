import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type DataQualitySchema,
  type FieldQualitySchema,
  ListDataQualityResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { qualityText } from "./qualityText.ts";

const FROM_MS = Date.UTC(2001, 0, 10, 8);
const HOUR_MS = 3_600_000;

function answer(
  fields: MessageInitShape<typeof FieldQualitySchema>[],
  { hours = 4, volumes = [0, 4, 8, 1] }: { hours?: number; volumes?: number[] } = {},
) {
  const hour = (accepted: number, index: number): MessageInitShape<typeof DataQualitySchema> => ({
    type: "order",
    hour: timestampFromMs(FROM_MS + index * HOUR_MS),
    accepted: BigInt(accepted),
  });
  return create(ListDataQualityResponseSchema, {
    from: timestampFromMs(FROM_MS),
    to: timestampFromMs(FROM_MS + hours * HOUR_MS),
    totals: [
      { type: "order", accepted: 1_200n, rejected: 34n, violations: { missing_id: 2n }, unknownValues: 7n, fields },
    ],
    hours: volumes.map(hour).filter(({ accepted }) => accepted !== 0n),
    findings: [{ type: "order", field: "price", title: "order.price looks odd", advice: "look at it" }],
  });
}

test("a type has its counts, its hours as bars, a row for each field, and what looks odd with what to do", () => {
  const text = qualityText(
    "shop",
    answer([
      {
        name: "price",
        type: FieldType.DOUBLE,
        events: 1_234n,
        missing: 617n,
        violations: { wrong_type: 3n, field_out_of_range: 21n },
        values: 4n,
        min: -0.5,
        max: 12_345_678,
        mean: 100.256,
        squaredDifferences: 400,
        distinct: 987.4,
      },
    ]),
  );
  assert.deepEqual(text.split("\n"), [
    "shop from 2001-01-10 08:00 to 2001-01-10 12:00 (event time, UTC)",
    "",
    "order   1,200 accepted, 34 rejected   (missing_id 2, values not in the schema 7)",
    "  events per hour   | ▅█▂|   at most 8",
    "",
    "  field  events  missing  different  range              mean ± deviation  broken rules",
    "  price   1,234   50.0 %       ~987  -0.5 … 12,345,678  100.3 ± 10        field_out_of_range 21, wrong_type 3",
    "",
    "What looks odd:",
    "  order.price looks odd",
    "    → look at it",
  ]);
});

test("ranges and means are told in the terms of the field's type", () => {
  const of = (type: FieldType, min: number, max: number, mean: number) => {
    const values = { events: 9n, values: 9n, min, max, mean, squaredDifferences: 0, distinct: 1 };
    const row = qualityText("shop", answer([{ name: "x", type, ...values }])).split("\n")[6] ?? "";
    return row.trim().split(/ {2,}/).slice(4, 6);
  };
  assert.deepEqual(of(FieldType.STRING, 3, 3, 3), ["3 characters", "3 ± 0"]);
  assert.deepEqual(of(FieldType.STRING, 0, 3, 2), ["0 … 3 characters", "2 ± 0"]);
  assert.deepEqual(of(FieldType.BOOL, 0, 1, 0.25), ["false … true", "25.0 % true"]);
  const times = of(FieldType.TIMESTAMP, FROM_MS, FROM_MS + HOUR_MS, FROM_MS);
  assert.deepEqual(times, ["2001-01-10 08:00 … 2001-01-10 09:00", "2001-01-10 08:00"]);
  assert.deepEqual(of(FieldType.DOUBLE, 1e-7, 1e12, 0.12345), ["1.000e-7 … 1.000e+12", "0.1235 ± 0"]);
});

test("a share that rounds to nothing or to all says that there is something left", () => {
  const missing = (part: bigint, whole: bigint): string => {
    const row = qualityText("shop", answer([{ name: "x", events: whole, missing: part }])).split("\n")[6] ?? "";
    return row.trim().split(/ {2,}/)[2] ?? "";
  };
  const shares = [missing(0n, 9n), missing(1n, 99_999n), missing(99_998n, 99_999n), missing(9n, 9n)];
  assert.deepEqual(shares, ["0 %", "0.1 %", "99.9 %", "100 %"]);
});

test("many hours share bars, so that they fit a line", () => {
  const volumes = Array.from({ length: 168 }, (_, index) => (index < 84 ? 1 : 3));
  const line = qualityText("shop", answer([], { hours: 168, volumes })).split("\n")[3];
  assert.equal(line, `  events per 3 hours   |${"▃".repeat(28)}${"█".repeat(28)}|   at most 9`);
});

test("an app without events in these hours, or at all, says so", () => {
  const empty = (toMs: number) =>
    qualityText("shop", create(ListDataQualityResponseSchema, { from: timestampFromMs(0), to: timestampFromMs(toMs) }));
  assert.equal(empty(HOUR_MS), "shop has no events yet.");
  assert.match(empty(2 * HOUR_MS), /^shop has no events from 1970-01-01 00:00 to 1970-01-01 02:00/);
});
