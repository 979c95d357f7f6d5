import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Deployment,
  DeploymentSchema,
  ModelState,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { promote, rollBack } from "./promotion.ts";

const WHY = { sinceMs: 1_000, reason: "a test" };
const version = (number: number, state: ModelState = ModelState.CANDIDATE): ModelVersion =>
  create(ModelVersionSchema, { app: "app", number, state, verdict: ["AUC is low."] });
const serving = (champion: number, previous?: number): Deployment =>
  create(DeploymentSchema, {
    app: "app",
    champion: version(champion, ModelState.CHAMPION),
    ...(previous === undefined ? {} : { previous: version(previous, ModelState.RETIRED) }),
  });
const states = (changed: readonly ModelVersion[]): [number, ModelState][] =>
  changed.map(({ number, state }) => [number, state]);

test("the first champion has none before it", () => {
  const { deployment, changed } = promote(undefined, version(1), WHY);
  assert.equal(deployment.champion?.number, 1);
  assert.equal(deployment.previous, undefined);
  assert.equal(deployment.reason, "a test");
  assert.deepEqual(states(changed), [[1, ModelState.CHAMPION]]);
});

test("a new champion retires the one before, first, and keeps it at hand", () => {
  const { deployment, changed } = promote(serving(1), version(2), WHY);
  assert.equal(deployment.previous?.number, 1);
  assert.deepEqual(states(changed), [
    [1, ModelState.RETIRED],
    [2, ModelState.CHAMPION],
  ]);
});

test("promoting does not alter the version it was given", () => {
  const candidate = version(2);
  promote(serving(1), candidate, WHY);
  assert.equal(candidate.state, ModelState.CANDIDATE);
});

test("a rejected version and the champion itself cannot be promoted", () => {
  assert.throws(() => promote(serving(1), version(2, ModelState.REJECTED), WHY), /app\/2 was rejected .* AUC is low/);
  assert.throws(() => promote(serving(1), version(1), WHY), /app\/1 is the champion already/);
});

test("rolling back brings the one before back, and leaves no fallback", () => {
  const { deployment, changed } = rollBack(serving(2, 1), "app", WHY);
  assert.equal(deployment.champion?.number, 1);
  assert.equal(deployment.previous, undefined);
  assert.deepEqual(states(changed), [
    [2, ModelState.RETIRED],
    [1, ModelState.CHAMPION],
  ]);
});

test("without a champion before there is nothing to roll back to", () => {
  assert.throws(() => rollBack(serving(1), "app", WHY), /app has no champion before/);
  assert.throws(() => rollBack(undefined, "app", WHY), /app has no champion before/);
});
