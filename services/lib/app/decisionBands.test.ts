import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServingSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { decisionBands } from "./decisionBands.ts";

const bandsOf = (init: Parameters<typeof create<typeof ServingSchema>>[1]) =>
  decisionBands(create(ServingSchema, init)).map(({ decision, lower, upper }) => [decision, lower, upper]);

test("thresholds make bands that cover 0 to 1, also below the lowest threshold", () => {
  const decisions = [
    { name: "late", atLeast: 0.5 },
    { name: "at-risk", atLeast: 0.25 },
  ];
  assert.deepEqual(bandsOf({ decisions }), [
    ["", 0, 0.25],
    ["at-risk", 0.25, 0.5],
    ["late", 0.5, 1],
  ]);
  assert.deepEqual(bandsOf({}), []);
});

test("an abstain band is cut out of those it touches", () => {
  const decisions = [
    { name: "late", atLeast: 0.5 },
    { name: "on-time", atLeast: 0 },
  ];
  assert.deepEqual(bandsOf({ decisions, abstain: { from: 0.45, to: 0.55 } }), [
    ["on-time", 0, 0.45],
    ["abstain", 0.45, 0.55],
    ["late", 0.55, 1],
  ]);
  assert.deepEqual(bandsOf({ decisions, abstain: { from: 0.6, to: 1, decision: "ask" } }), [
    ["on-time", 0, 0.5],
    ["late", 0.5, 0.6],
    ["ask", 0.6, 1],
  ]);
  assert.deepEqual(bandsOf({ decisions, abstain: { from: 0, to: 0.1, decision: "ask" } }), [
    ["ask", 0, 0.1],
    ["on-time", 0.1, 0.5],
    ["late", 0.5, 1],
  ]);
});

test("with costs each probability is decided as costs least, whatever the table", () => {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  for (let round = 0; round < 300; round += 1) {
    const decisions = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, index) => ({
      name: `d${index}`,
      cost: { positive: Math.floor(random() * 20) - 5, negative: Math.floor(random() * 20) - 5 },
    }));
    const bands = decisionBands(create(ServingSchema, { decisions }));
    assert.equal(bands[0]?.lower, 0);
    assert.equal(bands.at(-1)?.upper, 1);
    bands.slice(1).forEach((band, index) => assert.equal(band.lower, bands[index]?.upper));
    for (let probability = 0; probability <= 1; probability += 1 / 64) {
      const band = bands.findLast(({ lower }) => probability >= lower);
      const costOf = ({ cost }: (typeof decisions)[number]): number =>
        cost.positive * probability + cost.negative * (1 - probability);
      const least = Math.min(...decisions.map(costOf));
      const chosen = decisions.find(({ name }) => name === band?.decision);
      assert.ok(
        chosen !== undefined && costOf(chosen) - least < 1e-9,
        `${JSON.stringify(decisions)} at ${probability}`,
      );
    }
  }
});

test("a decision that costs the same whatever comes is taken in between", () => {
  const decisions = [
    { name: "call", cost: { positive: 1, negative: 4 } },
    { name: "ignore", cost: { positive: 9, negative: 0 } },
    { name: "look", cost: { positive: 2, negative: 2 } },
  ];
  assert.deepEqual(bandsOf({ decisions }), [
    ["ignore", 0, 2 / 9],
    ["look", 2 / 9, 2 / 3],
    ["call", 2 / 3, 1],
  ]);
});
