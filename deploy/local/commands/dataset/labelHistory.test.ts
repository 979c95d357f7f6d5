import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LabelStatisticsSchema } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { labelHistory } from "./labelHistory.ts";

const FROM_MS = Date.UTC(2001, 0, 1);
const HOUR_MS = 3_600_000;

const statistics = (...hours: number[]) =>
  create(LabelStatisticsSchema, {
    sliceLength: durationFromMs(HOUR_MS),
    slices: hours.map((hour) => ({
      from: timestampFromMs(FROM_MS + hour * HOUR_MS),
      rows: 10n,
      labelled: 8n,
      positive: 3n,
      pending: 1n,
    })),
  });

test("hours without rows are bars without rows", () => {
  const { lengthMs, bars } = labelHistory(statistics(0, 1, 3), 60);
  assert.equal(lengthMs, HOUR_MS);
  assert.deepEqual(
    bars.map(({ fromMs, rows }) => [(fromMs - FROM_MS) / HOUR_MS, rows]),
    [
      [0, 10],
      [1, 10],
      [2, 0],
      [3, 10],
    ],
  );
});

test("hours share a bar where there are more than bars, and nothing is lost", () => {
  const hours = Array.from({ length: 25 }, (_, index) => index);
  const { lengthMs, bars } = labelHistory(statistics(...hours), 10);
  assert.equal(lengthMs, 3 * HOUR_MS);
  assert.deepEqual(
    bars.map(({ rows, labelled, positive, pending }) => [rows, labelled, positive, pending]),
    [...Array.from({ length: 8 }, () => [30, 24, 9, 3]), [10, 8, 3, 1]],
  );
});

test("without rows there is no history", () => {
  assert.deepEqual(labelHistory(statistics(), 10).bars, []);
});
