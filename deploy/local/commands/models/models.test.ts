import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ModelChangeSchema,
  ModelState,
  type ModelVersion,
  ModelVersionSchema,
  TrialSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { CompareModelsResponseSchema } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { TemporaryFolder } from "@millrace/test-harness";
import { describeComparison } from "./compare.ts";
import { describeHistory, describeTrial } from "./historyText.ts";
import { messagesOf, openModelFile } from "./modelFile.ts";
import { describeModel, tableOf } from "./modelText.ts";

import { readHeader } from "./upload.ts";
import { readVersionName } from "./versionName.ts";
import { readWish } from "./wish.ts";

const refuses = (text: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === "invalid_argument" && text.test(error.message);

const uploaded = (): ModelVersion =>
  create(ModelVersionSchema, {
    app: "flights",
    number: 3,
    algorithm: "uploaded",
    state: ModelState.CHAMPION,
    artefact: "ab12",
    artefactBytes: 2_048n,
    featureNames: ["hour", "distance"],
    metrics: { log_loss: 0.46215, auc: 0.7 },
    championMetrics: { log_loss: 0.4711, auc: 0.69 },
    verdict: ["Ada uploaded it."],
    origin: { author: "Ada", trainer: "PyTorch", notes: "wider", sha256: "cd34", bytes: 8_000n },
    quantization: {
      accepted: true,
      verdict: ["In int8 it does as well."],
      comparedOn: "labelled holdout",
      rows: 1_194n,
      maxDifference: 0.01,
      meanDifference: 0.001,
      timings: [{ batchRows: 64, originalMs: 9, quantizedMs: 3 }],
      originalBytes: 8_000n,
      quantizedBytes: 2_048n,
      quantizedLayers: ["MatMul dense (64 × 512)"],
      skippedLayers: ["MatMul last: it is too small"],
    },
  });

test("a list tells of each version who made it, how good it is and in which precision it serves", () => {
  const trained = create(ModelVersionSchema, {
    app: "flights",
    number: 2,
    algorithm: "gbdt",
    state: ModelState.RETIRED,
  });
  const [, first = "", second = ""] = tableOf([uploaded(), trained]);
  assert.match(first, /^flights\/3 +champion +Ada \(upload\) +- +0\.4622 +0\.7 +- +2 KiB {2}int8$/);
  assert.match(second, /^flights\/2 +retired +gbdt .* float32$/);
});

test("a version is shown with where it comes from, its metrics beside the champion's, its verdict and the comparison in int8", () => {
  const text = describeModel(uploaded()).join("\n");
  for (const expected of [
    /^model +flights\/3, champion$/m,
    /^columns +hour, distance$/m,
    /^uploaded +- by Ada, as cd34, 8 KiB$/m,
    /^made by +PyTorch$/m,
    /^log_loss +0\.4622 +0\.4711$/m,
    /^ {2}Ada uploaded it\.$/m,
    /^In int8: serves$/m,
    /differ by 0\.01 at most and 0\.001 on average, over 1,194 rows \(labelled holdout\)/,
    /^ +64 +9\.000 +3\.000 +3\.00$/m,
    /^ {2}int8: {4}MatMul dense \(64 × 512\)$/m,
    /^ {2}float32: MatMul last: it is too small$/m,
  ]) {
    assert.match(text, expected);
  }
});

test("a version is named by its app and number", () => {
  assert.deepEqual(readVersionName("models show", ["flight-delays/12"]), { app: "flight-delays", number: 12 });
  for (const words of [[], ["flights"], ["flights/0"], ["flights/x"], ["flights/1", "2"]]) {
    assert.throws(
      () => readVersionName("models show", words),
      refuses(/models show takes <app>\/<number>, such as flight-delays\/3, not/),
    );
  }
});

test("an upload's options make its header", () => {
  const header = readHeader({
    app: "flights",
    columns: "hour, distance",
    author: "Ada",
    quantize: "int8",
    "max-loss": "0.01",
  });
  assert.deepEqual(header, {
    app: "flights",
    columns: ["hour", "distance"],
    author: "Ada",
    trainer: "",
    notes: "",
    quantize: { maxLoss: 0.01 },
  });
  assert.equal(readHeader({ app: "flights" }).quantize, undefined);
  assert.notEqual(readHeader({ app: "flights" }).author, "", "whoever runs the command");
});

for (const [values, text] of [
  [{}, /needs --app/],
  [
    { app: "flights", columns: "hour,,distance" },
    /--columns must be names with commas between them, not "hour,,distance"/,
  ],
  [{ app: "flights", quantize: "int4" }, /--quantize must be int8, which is all there is, not "int4"/],
  [{ app: "flights", quantize: "int8", "max-loss": "much" }, /--max-loss must be a number from 0 to 1, not "much"/],
  [{ app: "flights", "max-difference": "0.1" }, /--max-difference says when int8 serves; add --quantize int8/],
] as const) {
  test(`an upload with ${JSON.stringify(values)} is refused with the option, the rule and the value`, () => {
    assert.throws(() => readHeader(values), refuses(text));
  });
}

test("a file is sent whole, with its length and hash; one that is not there, or empty, is refused by name", async () => {
  await using folder = new TemporaryFolder();
  const path = folder.join("model.onnx");
  const bytes = Buffer.alloc(2_500_000, 7);
  writeFileSync(path, bytes);
  const sent: Uint8Array[] = [];
  for await (const { part } of messagesOf(await openModelFile(path), { app: "flights" })) {
    if (part?.case === "header") assert.equal(part.value.bytes, 2_500_000n);
    if (part?.case === "chunk") sent.push(part.value);
  }
  assert.equal(sent.length, 3);
  assert.deepEqual(Buffer.concat(sent), bytes);
  writeFileSync(path, "");
  await assert.rejects(openModelFile(path), refuses(/model\.onnx is empty; export the model again/));
  await assert.rejects(openModelFile(folder.join("none.onnx")), refuses(/none\.onnx cannot be read: ENOENT/));
});

test("a change needs a version and a reason; who it is by default is who runs the command", () => {
  const wish = readWish("models retire", ["flights/3", "--reason", "too old", "--author", "Ada"]);
  assert.deepEqual(wish, { app: "flights", number: 3, reason: "too old", author: "Ada" });
  assert.notEqual(readWish("models retire", ["flights/3", "--reason", "x"]).author, "");
  assert.throws(() => readWish("models retire", ["flights/3"]), refuses(/models retire needs --reason/));
  assert.throws(() => readWish("models retire", ["--reason", "x"]), refuses(/takes <app>\/<number>/));
});

test("a version's history tells who changed what, when and why, and its trial how far it is", () => {
  const change = create(ModelChangeSchema, {
    state: ModelState.CANARY,
    who: "promotion policy",
    why: "It answered 100 questions.",
    changedAt: timestampFromMs(Date.UTC(2001, 1, 3, 4, 5)),
  });
  assert.deepEqual(describeHistory([change]), [
    "",
    "History",
    "  2001-02-03 04:05  canary, by promotion policy",
    "    It answered 100 questions.",
  ]);
  const trial = create(TrialSchema, { number: 3, champion: 2, stage: ModelState.CANARY, seen: 40n, needed: 1_000n });
  assert.match(describeTrial(trial)[1] ?? "", /Version 3 .* canary beside version 2, 40 of 1,000 outcomes\./);
  const onProbation = describeTrial({ ...trial, stage: ModelState.CHAMPION })[1] ?? "";
  assert.match(onProbation, /Version 3 is the champion, on probation beside version 2, .*, 40 of 1,000 outcomes\./);
  assert.match(describeTrial({ ...trial, waiting: true })[1] ?? "", /waits for a person's word/);
});

test("two versions are shown side by side, on the same rows where these could be had", () => {
  const left = uploaded();
  const right = create(ModelVersionSchema, {
    app: "flights",
    number: 5,
    algorithm: "gbdt",
    metrics: { auc: 0.71 },
    parent: 3,
  });
  const same = { leftMetrics: { auc: 0.69 }, rightMetrics: { auc: 0.72 }, datasetHash: "0123456789abcdef" };
  const text = describeComparison(
    create(CompareModelsResponseSchema, { left, right, ...same, remarks: ["Look."] }),
  ).join("\n");
  for (const expected of [
    /^ +flights\/3 +flights\/5$/m,
    /^made by +Ada \(upload\) +gbdt$/m,
    /^compared with +- +3$/m,
    /^auc +0\.7 +0\.71$/m,
    /^on the same rows \(dataset 0123456789ab\) +flights\/3 +flights\/5\nauc +0\.69 +0\.72$/m,
    /^Look\.$/m,
  ]) {
    assert.match(text, expected);
  }
});
