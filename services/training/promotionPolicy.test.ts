import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Approval, PromotionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type CanaryEvidence,
  firstStage,
  judgeCanary,
  judgeProbation,
  judgeShadow,
  LOOKS,
  looksDue,
  type PromotionPolicy,
  promotionPolicy,
  type ShadowEvidence,
  stageAfter,
} from "./promotionPolicy.ts";

const SHADOW = { predictions: 400 };
const CANARY = { outcomes: 400, share: 0.2 };
const policyWith = (fields: Parameters<typeof create<typeof PromotionSchema>>[1]): PromotionPolicy =>
  promotionPolicy(create(PromotionSchema, fields));
const BOTH = policyWith({ shadow: SHADOW, canary: CANARY });

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Labels that come in spells: every 20 rows share how late everything is. */
function labelsOf(rows: number, next: () => number): Float64Array {
  let chance = 0.5;
  return Float64Array.from({ length: rows }, (_, row) => {
    if (row % 20 === 0) chance = 0.1 + 0.5 * next();
    return next() < chance ? 1 : 0;
  });
}

const shadowOf = (rows: number, next: () => number, error: number): ShadowEvidence => {
  const labels = labelsOf(rows, next);
  const champion = labels.map(() => 0.25 + 0.1 * next());
  const challenger = champion.map((value) => Math.min(0.99, value + error));
  return { champion, challenger, labels, asked: rows };
};

/** Every fifth question is the canary's; both arms live through the same spells. */
const canaryOf = (rows: number, next: () => number, error: number, failed = 0): CanaryEvidence => {
  const labels = labelsOf(rows * 5, next);
  const arm = (isOwn: boolean, off: number) => {
    const own = labels.filter((_, row) => (row % 5 === 0) === isOwn);
    return { labels: own, probabilities: own.map(() => Math.min(0.99, 0.3 + 0.1 * next() + off)) };
  };
  return { challenger: arm(true, error), champion: arm(false, 0), answered: rows, failed };
};

test("without a policy, and without steps, a candidate becomes the champion at once", () => {
  for (const policy of [promotionPolicy(undefined), policyWith({})])
    assert.deepEqual(firstStage(policy), { stage: "champion", waiting: false });
});

test("the steps that the app names come one after the other", () => {
  const steps = (policy: PromotionPolicy) => [
    stageAfter(policy, "candidate"),
    stageAfter(policy, "shadow"),
    stageAfter(policy, "canary"),
  ];
  assert.deepEqual(steps(BOTH), ["shadow", "canary", "champion"]);
  assert.deepEqual(steps(policyWith({ shadow: SHADOW })), ["shadow", "champion", "champion"]);
  assert.deepEqual(steps(policyWith({ canary: CANARY })), ["canary", "canary", "champion"]);
  assert.equal(BOTH.canary?.percent, 20);
  assert.equal(policyWith({ canary: { outcomes: 100 } }).canary?.percent, 10);
});

test("a person is asked before anything that others feel; a shadow begins by itself", () => {
  const approval = Approval.PERSON;
  assert.deepEqual(firstStage(policyWith({ approval })), { stage: "candidate", waiting: true });
  assert.deepEqual(firstStage(policyWith({ approval, canary: CANARY })), { stage: "candidate", waiting: true });
  assert.deepEqual(firstStage(policyWith({ approval, shadow: SHADOW })), { stage: "shadow", waiting: false });
});

test("evidence is looked at after each quarter, and no more often", () => {
  const looks = [0, 99, 100, 250, 399, 400, 900].map((seen) => looksDue(seen, 400));
  assert.deepEqual(looks, [0, 0, 1, 2, 3, LOOKS, LOOKS]);
});

test("a shadow whose answers are as good passes, at the last look only, with the numbers", () => {
  const evidence = shadowOf(400, random(1), 0.01);
  assert.equal(judgeShadow(BOTH, evidence, 3).kind, "go on");
  const verdict = judgeShadow(BOTH, evidence, LOOKS);
  assert.equal(verdict.kind, "pass", verdict.evidence.join("\n"));
  assert.match(
    verdict.evidence.join("\n"),
    /answered 400 of about 400 .*\n.*differ .* by 0\.0100 on average.\n.*not clearly worse/,
  );
  assert.equal(verdict.figures["outcomes"], 400);
});

test("a shadow that is clearly worse is rejected at the first look, by how much it says", () => {
  const verdict = judgeShadow(BOTH, shadowOf(100, random(2), 0.6), 1);
  assert.equal(verdict.kind, "reject");
  assert.match(verdict.evidence.at(-1) ?? "", /worse by 0\.\d+, surely by 0\.\d+ \(tolerance 0\.005\)/);
});

test("worse by less than the tolerance is no harm, however sure", () => {
  const tolerant = { ...BOTH, tolerance: 2 };
  assert.equal(judgeShadow(tolerant, shadowOf(400, random(2), 0.6), LOOKS).kind, "pass");
});

test("a shadow without truth passes on its answers, and says that nothing is known of them", () => {
  const { champion, challenger } = shadowOf(400, random(3), 0.6);
  const labels = new Float64Array(400).fill(Number.NaN);
  const verdict = judgeShadow(BOTH, { champion, challenger, labels, asked: 400 }, LOOKS);
  assert.equal(verdict.kind, "pass");
  assert.match(verdict.evidence.join("\n"), /truth is known for 0 of its answers .*too few to compare/);
});

test("a shadow that answers too seldom is rejected, also between looks", () => {
  const evidence = { ...shadowOf(50, random(4), 0), asked: 2_000 };
  assert.match(judgeShadow(BOTH, evidence, 0).evidence.at(-1) ?? "", /answers too seldom/);
  assert.equal(judgeShadow(BOTH, evidence, 0).kind, "reject");
  assert.equal(judgeShadow(BOTH, { ...evidence, asked: 1_900 }, 0).kind, "go on");
});

test("a canary is compared with what the champion answered in the same time", () => {
  assert.equal(judgeCanary(BOTH, canaryOf(400, random(5), 0), LOOKS).kind, "pass");
  const worse = judgeCanary(BOTH, canaryOf(400, random(5), 0.55), 2);
  assert.equal(worse.kind, "reject", worse.evidence.join("\n"));
  assert.ok((worse.figures["loss_increase"] ?? 0) > 0.2);
});

test("a canary that leaves too many questions to the champion is rejected at once; a few are forgiven", () => {
  const failing = judgeCanary(BOTH, canaryOf(100, random(6), 0, 60), 0);
  assert.equal(failing.kind, "reject");
  assert.match(failing.evidence.join("\n"), /had to answer 60 \(37\.5 %\).*\n.*\n.*more often than the 5\.0 %/);
  assert.equal(judgeCanary(BOTH, canaryOf(100, random(6), 0, 6), 0).kind, "go on");
  assert.equal(judgeCanary(BOTH, canaryOf(10, random(6), 0, 20), 0).kind, "go on", "30 questions say nothing");
});

test("of three hundred candidates that are no worse, at most one in twenty is rejected, in all four looks together", () => {
  const strict = { ...BOTH, tolerance: 0 };
  const cut = (evidence: CanaryEvidence, share: number): CanaryEvidence => {
    const part = ({ probabilities, labels }: CanaryEvidence["champion"]) => ({
      probabilities: probabilities.slice(0, share * probabilities.length),
      labels: labels.slice(0, share * labels.length),
    });
    return { ...evidence, champion: part(evidence.champion), challenger: part(evidence.challenger) };
  };
  let rejected = 0;
  for (let trial = 0; trial < 300; trial += 1) {
    const evidence = canaryOf(400, random(1_000 + trial), 0);
    const looks = [1, 2, 3, 4].map((look) => judgeCanary(strict, cut(evidence, look / LOOKS), look).kind);
    if (looks.includes("reject")) rejected += 1;
  }
  assert.ok(rejected <= 15, `${rejected} of 300`);
});

const PROBATION = policyWith({ probation: { outcomes: 400, share: 0.5 } });

/** The new champion's answers are off by `error`; half of the questions have an answer of the one before, too. */
const probationOf = (rows: number, next: () => number, error: number): ShadowEvidence => {
  const { champion: before, challenger: own, labels } = shadowOf(rows, next, error);
  return { champion: own, challenger: before, labels, asked: rows * 2 };
};
const firstRows = ({ champion, challenger, labels, asked }: ShadowEvidence, share: number): ShadowEvidence => {
  const rows = share * labels.length;
  const cut = (values: Float64Array) => values.slice(0, rows);
  return { champion: cut(champion), challenger: cut(challenger), labels: cut(labels), asked };
};
/** What becomes of a probation: the first verdict that ends it, and the look at which it came. */
const endOf = (evidence: ShadowEvidence, policy = PROBATION): [string, number] => {
  for (let look = 1; look <= LOOKS; look += 1) {
    const { kind } = judgeProbation(policy, firstRows(evidence, look / LOOKS), look);
    if (kind !== "go on") return [kind, look];
  }
  return ["go on", LOOKS];
};

test("a probation alone is no step on the way, and asks the champion before every question unless a share is named", () => {
  assert.deepEqual(firstStage(PROBATION), { stage: "champion", waiting: false });
  assert.equal(PROBATION.probation?.percent, 50);
  assert.equal(policyWith({ probation: { outcomes: 400 } }).probation?.percent, 100);
});

test("a new champion that is clearly worse than the one before is sent back at the first look, whatever the seed", () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const evidence = probationOf(400, random(2_000 + seed), 0.6);
    assert.deepEqual(endOf(evidence), ["reject", 1]);
    // Never for what is no harm by the app's own word, and not before the truth is known.
    assert.deepEqual(endOf(evidence, { ...PROBATION, tolerance: 5 }), ["pass", LOOKS]);
    const untold = { ...evidence, labels: evidence.labels.map(() => Number.NaN) };
    assert.equal(judgeProbation(PROBATION, untold, 1).kind, "go on");
  }
});

test("a new champion that is better is never sent back, and one that is the same at most once in twenty", () => {
  const strict = { ...PROBATION, tolerance: 0 };
  let sentBack = 0;
  for (let trial = 0; trial < 300; trial += 1) {
    const next = random(3_000 + trial);
    const same = probationOf(400, next, 0);
    if (trial < 50) {
      const { champion, challenger } = probationOf(400, next, 0.6);
      const better = { ...same, champion: challenger, challenger: champion };
      assert.equal(endOf(better, strict)[0], "pass");
    }
    // As good, each with its own mistakes.
    const champion = same.champion.map((value) => value + 0.2 * (next() - 0.5));
    const challenger = same.challenger.map((value) => value + 0.2 * (next() - 0.5));
    if (endOf({ ...same, champion, challenger }, strict)[0] === "reject") sentBack += 1;
  }
  assert.ok(sentBack <= 15, `${sentBack} of 300`);
});

test("a champion before that answers too seldom to be compared with ends the probation, between looks, too", () => {
  const { evidence, kind } = judgeProbation(PROBATION, { ...probationOf(50, random(4), 0.6), asked: 4_000 }, 0);
  assert.equal(kind, "pass");
  assert.match(evidence.join(" "), /previous champion answered 50 of about 2000 questions: too seldom/);
  assert.equal(judgeProbation(PROBATION, { ...probationOf(50, random(4), 0.6), asked: 3_000 }, 0).kind, "go on");
});
