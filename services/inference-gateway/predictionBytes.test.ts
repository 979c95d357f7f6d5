import assert from "node:assert/strict";
import { test } from "node:test";
import { create, isFieldSet, toBinary } from "@bufbuild/protobuf";
import {
  type MadeBy,
  type Prediction,
  PredictionSchema,
  PredictionsSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import {
  PredictBatchResponseSchema,
  PredictResponseSchema,
  type PredictResult,
  PredictResultSchema,
  PredictStreamResponseSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { encodePredictions, encodePredictResponse, encodeResults } from "./predictionBytes.ts";
import { randomNumbers } from "./randomNumbers.ts";

const random = randomNumbers(20);
const whole = (below: number): number => Math.floor(random() * below);
const oneOf = <Item>(items: readonly Item[]): Item => items[whole(items.length)] as Item;
const maybe = <Item>(make: () => Item): Item | undefined => (random() < 0.3 ? undefined : make());

/** Every length of a length's varint, and characters of one to four bytes, also half ones. */
const text = (): string =>
  oneOf(["", "a", "é", "日本", "🛫", "x\u{d800}y", "abc"]).repeat(oneOf([0, 1, 1, 7, 43, 127, 6_000]));
const double = (): number =>
  oneOf([0, -0, 1, -1, Number.NaN, Infinity, -Infinity, 5e-324, Number.MAX_VALUE, random(), -random() * 1e6]);
const unsigned = (): number => oneOf([0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1, whole(2 ** 32)]);
const time = () => ({
  seconds: oneOf([0n, 1n, -1n, -62_135_596_800n, 253_402_300_799n, 2n ** 62n, BigInt(whole(2 ** 40))]),
  nanos: oneOf([0, 1, 999_999_999]),
});

/** Whatever the task: the fields do not depend on each other. */
function answer() {
  const value = maybe(double);
  const interval = maybe(() => ({ lower: double(), upper: double(), coverage: double() }));
  return {
    ...(value === undefined ? {} : { value }),
    ...(interval === undefined ? {} : { interval }),
    predictedClass: text(),
    classProbabilities: Array.from({ length: oneOf([0, 0, 1, 3, 31, 32, 1_000]) }, () => Math.fround(random())),
    predictionSet: Array.from({ length: oneOf([0, 0, 1, 3]) }, text),
  };
}

function prediction(): Prediction {
  const band = maybe(() => ({ lower: double(), upper: double(), abstain: random() < 0.5 }));
  const occurredAt = maybe(time);
  const featuresAsOf = maybe(time);
  const featuresAgeMs = maybe(() => oneOf([0n, 1n, 2n ** 53n, 2n ** 64n - 1n, BigInt(whole(2 ** 40))]));
  const heldOut = maybe(double);
  return create(PredictionSchema, {
    id: text(),
    app: text(),
    requestId: text(),
    joinKey: text(),
    ...(occurredAt === undefined ? {} : { occurredAt }),
    probability: double(),
    decision: text(),
    modelVersion: text(),
    madeBy: whole(7) as MadeBy,
    reason: text(),
    features: Array.from({ length: oneOf([0, 1, 8, 15, 16, 300]) }, double),
    appVersion: unsigned(),
    ...(featuresAsOf === undefined ? {} : { featuresAsOf }),
    durationUs: unsigned(),
    featuresExact: random() < 0.5,
    ...(band === undefined ? {} : { band }),
    ...(featuresAgeMs === undefined ? {} : { featuresAgeMs }),
    cached: random() < 0.5,
    ...(heldOut === undefined ? {} : { heldOut }),
    ...answer(),
  });
}

const same = (actual: Uint8Array, expected: Uint8Array): void =>
  assert.ok(Buffer.from(actual).equals(expected), Buffer.from(actual).toString("hex"));

test("every field of the contract is among those that are compared", () => {
  const seen = new Set<string>();
  for (let round = 0; round < 100; round += 1) {
    const message = prediction();
    for (const field of PredictionSchema.fields) if (isFieldSet(message, field)) seen.add(field.name);
  }
  assert.deepEqual([...seen].sort(), PredictionSchema.fields.map(({ name }) => name).sort());
});

test("predictions and answers are encoded byte for byte as protobuf-es does", () => {
  for (let round = 0; round < 100; round += 1) {
    const predictions = Array.from({ length: oneOf([0, 1, 1, 2, 9]) }, prediction);
    const { message, each } = encodePredictions(predictions);
    same(message, toBinary(PredictionsSchema, create(PredictionsSchema, { predictions })));
    assert.equal(each.length, predictions.length);
    const answers = predictions.map((value, index) => {
      const bytes = each[index] as Uint8Array;
      same(bytes, toBinary(PredictionSchema, value));
      return { value, bytes, requestId: value.requestId, recorded: random() < 0.5 };
    });
    for (const answer of answers) {
      const { value, recorded } = answer;
      const response = create(PredictResponseSchema, { prediction: value, recorded });
      same(encodePredictResponse(answer), toBinary(PredictResponseSchema, response));
    }
    const mixed = answers.map((answer) => (random() < 0.2 ? failure() : answer));
    const results = mixed.map((answer): PredictResult => {
      if ("$typeName" in answer) return answer;
      const { requestId, recorded, value } = answer;
      return create(PredictResultSchema, { requestId, recorded, result: { case: "prediction", value } });
    });
    same(encodeResults(mixed), toBinary(PredictBatchResponseSchema, create(PredictBatchResponseSchema, { results })));
    const [first] = results;
    if (first === undefined) continue;
    const response = create(PredictStreamResponseSchema, { result: first });
    same(encodeResults(mixed.slice(0, 1)), toBinary(PredictStreamResponseSchema, response));
  }
});

const failure = (): PredictResult =>
  create(PredictResultSchema, { requestId: text(), result: { case: "error", value: { code: 3, message: text() } } });
