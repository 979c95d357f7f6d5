import assert from "node:assert/strict";
import { test } from "node:test";
import { parseApp } from "@millrace/app";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { Dataset } from "./dataset.ts";
import { diffDatasets } from "./datasetDiff.ts";
import { asRead, FLIGHTS_APP, randomFlights, START_MS } from "./flightsForTests.ts";

const HOUR_MS = 3_600_000;
const log = randomFlights(3_000, 96, 3);

function manifestOf(fromHour: number, toHour: number, ...changes: [string, string][]): DatasetManifest {
  const text = changes.reduce((yaml, [from, to]) => {
    assert.ok(yaml.includes(from), from);
    return yaml.replace(from, to);
  }, FLIGHTS_APP);
  const range = { fromMs: START_MS + fromHour * HOUR_MS, toMs: START_MS + toHour * HOUR_MS };
  const dataset = new Dataset({ app: parseApp(text), ...range, knownBeforeMs: START_MS + 200 * HOUR_MS });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  return dataset.manifest({ appVersion: 1, files: [], eventsRead: log.length });
}

test("a dataset does not differ from itself", () => {
  const manifest = manifestOf(0, 96);
  const { definitions, columns, remarks } = diffDatasets(manifest, manifest);
  assert.deepEqual(definitions, []);
  assert.deepEqual(remarks, ["They are the same dataset."]);
  assert.ok(columns.every(({ psi, ks, differs }) => psi < 1e-12 && ks === 0 && !differs));
  assert.equal(columns.length, 8);
});

test("features that came, went or changed are told, with their definitions on both sides", () => {
  const right = manifestOf(
    0,
    96,
    [
      "  hour: {at_request: request.occurred_at.getHours()}\n",
      "  weekday: {at_request: request.occurred_at.getDayOfWeek()}\n",
    ],
    ["{at_request: request.distance}", "{at_request: request.distance * 2.0}"],
  );
  const { definitions, columns, remarks } = diffDatasets(manifestOf(0, 96), right);
  assert.deepEqual(
    definitions.map(({ name, leftText, rightText }) => [name, leftText, rightText]),
    [
      ["distance", "request.distance", "request.distance * 2.0"],
      ["hour", "request.occurred_at.getHours()", ""],
      ["weekday", "", "request.occurred_at.getDayOfWeek()"],
    ],
  );
  assert.ok(!columns.some(({ name }) => name === "hour" || name === "weekday"));
  assert.deepEqual(
    columns.filter(({ differs }) => differs).map(({ name }) => name),
    ["distance"],
  );
  assert.ok(
    remarks.some((remark) => /distance is distributed differently \(its definition is another\): PSI \d/.test(remark)),
    remarks.join("\n"),
  );
});

test("a label that means something else is told, and what it does to the balance", () => {
  const { definitions, remarks } = diffDatasets(
    manifestOf(0, 96),
    manifestOf(0, 96, ["value: event.delay >= 15.0, wait", "value: event.delay >= 60.0, wait"]),
  );
  assert.deepEqual(
    definitions.map(({ name }) => name),
    ["label"],
  );
  assert.ok(
    remarks.some((remark) =>
      /^Labels that are positive: 4\d\.\d % on the left, 1\d\.\d % on the right\.$/.test(remark),
    ),
    remarks.join("\n"),
  );
});

test("datasets of times that do not meet say so, and differ where time makes a difference", () => {
  const { columns, remarks } = diffDatasets(manifestOf(24, 30), manifestOf(36, 42));
  assert.ok(remarks.includes("Every row on the left is older than those on the right."));
  assert.deepEqual(
    columns
      .filter(({ differs }) => differs)
      .map(({ name }) => name)
      .includes("hour"),
    true,
  );
  assert.equal(columns.find(({ name }) => name === "label")?.differs, false);
});
