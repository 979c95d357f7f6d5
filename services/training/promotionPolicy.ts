import { Approval, type Promotion } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Difference, differenceOf, MIN_ROWS } from "./blockTest.ts";

/** Where a candidate that passed its gates is on its way; the last is that of a champion that the one before still watches. */
export type Stage = "candidate" | "shadow" | "canary" | "probation";

/** An app's `model.promotion`, with its defaults. Shares in percent. */
export interface PromotionPolicy {
  readonly shadow: { readonly predictions: number; readonly percent: number } | undefined;
  readonly canary: { readonly outcomes: number; readonly percent: number } | undefined;
  readonly probation: { readonly outcomes: number; readonly percent: number } | undefined;
  readonly byPerson: boolean;
  readonly tolerance: number;
  readonly maxFailures: number;
}

export function promotionPolicy(promotion: Promotion | undefined): PromotionPolicy {
  const { shadow, canary, probation } = promotion ?? {};
  return {
    shadow: shadow && { predictions: shadow.predictions, percent: (shadow.share ?? 1) * 100 },
    canary: canary && { outcomes: canary.outcomes, percent: (canary.share ?? 0.1) * 100 },
    probation: probation && { outcomes: probation.outcomes, percent: (probation.share ?? 1) * 100 },
    byPerson: promotion?.approval === Approval.PERSON,
    tolerance: promotion?.tolerance ?? 0.005,
    maxFailures: promotion?.maxFailures ?? 0.05,
  };
}

/** What comes after a stage. */
export function stageAfter({ shadow, canary }: PromotionPolicy, stage: Stage): "shadow" | "canary" | "champion" {
  if (stage === "candidate" && shadow !== undefined) return "shadow";
  return stage !== "canary" && canary !== undefined ? "canary" : "champion";
}

/** The stage that a candidate begins with, and whether a person has to say so first: a shadow harms nobody, and needs no word. */
export function firstStage(policy: PromotionPolicy): { stage: Stage | "champion"; waiting: boolean } {
  const next = stageAfter(policy, "candidate");
  return policy.byPerson && next !== "shadow" ? { stage: "candidate", waiting: true } : { stage: next, waiting: false };
}

/** How much a stage asks for: answers or outcomes. */
export function neededOf({ shadow, canary, probation }: PromotionPolicy, stage: Stage): number {
  if (stage === "shadow") return shadow?.predictions ?? 0;
  if (stage === "probation") return probation?.outcomes ?? 0;
  return stage === "canary" ? (canary?.outcomes ?? 0) : 0;
}

/**
 * The evidence is looked at four times, after each quarter of it, so that what does harm goes early; each look may err in a quarter of the
 * cases that one look could.
 */
export const LOOKS = 4;

export const looksDue = (seen: number, needed: number): number =>
  needed === 0 ? LOOKS : Math.min(LOOKS, Math.floor((LOOKS * seen) / needed));

/** What a look at a stage's evidence came to. */
export interface StageVerdict {
  /** `pass` only at the last look. */
  readonly kind: "go on" | "pass" | "reject";
  /** One sentence each, with numbers. */
  readonly evidence: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

/** Answers of both to the same questions, in order of time; a label is NaN where the truth is not known yet. */
export interface ShadowEvidence {
  readonly champion: Float64Array;
  /** The shadow; in a probation the champion before. */
  readonly challenger: Float64Array;
  readonly labels: Float64Array;
  /** Questions that the champion answered meanwhile. */
  readonly asked: number;
}

/** Labelled answers of both to questions of the same time, each in order of time, and the challenger's questions. */
export interface CanaryEvidence {
  readonly champion: Answers;
  readonly challenger: Answers;
  readonly answered: number;
  /** Questions of the challenger that the champion had to answer. */
  readonly failed: number;
}

export interface Answers {
  readonly probabilities: Float64Array;
  readonly labels: Float64Array;
}

/** A shadow that answers fewer than one in so many of the questions that it was to get is not fit to serve. */
const SHADOW_PATIENCE = 5;

/** @param look 1 to LOOKS; 0 between looks, when only what needs no test is judged */
export function judgeShadow(policy: PromotionPolicy, evidence: ShadowEvidence, look: number): StageVerdict {
  const { champion, challenger, asked } = evidence;
  const needed = neededOf(policy, "shadow");
  const pairs = challenger.length;
  const expected = asked * ((policy.shadow?.percent ?? 100) / 100);
  const sentences = [`It answered ${pairs} of about ${Math.round(expected)} questions in the champion's shadow.`];
  const figures: Record<string, number> = { pairs, asked };
  if (pairs > 0) {
    const gap = champion.reduce((sum, value, row) => sum + Math.abs(value - (challenger[row] as number)), 0) / pairs;
    figures["mean_gap"] = gap;
    sentences.push(`Its answers differ from the champion's by ${show(gap)} on average.`);
  }
  const losses = labelledLosses(evidence);
  const compared = compare(policy, losses.challenger, losses.champion);
  const verdict = { evidence: [...sentences, ...compared.evidence], figures: { ...figures, ...compared.figures } };
  if (expected >= needed * SHADOW_PATIENCE && pairs < needed) {
    return {
      ...verdict,
      kind: "reject",
      evidence: [...verdict.evidence, `It answers too seldom to be compared: ${needed} answers are asked for.`],
    };
  }
  return { ...verdict, kind: kindOf(compared.worse, look) };
}

/**
 * Whether a new champion stands its probation: `reject` where it does worse than the one before. No evidence of harm lets it pass, as when the
 * one before answers too seldom to be compared with.
 *
 * @param evidence of which `challenger` is the champion before
 * @param look as for `judgeShadow`
 */
export function judgeProbation(policy: PromotionPolicy, evidence: ShadowEvidence, look: number): StageVerdict {
  const losses = labelledLosses(evidence);
  const compared = compare(policy, losses.champion, losses.challenger, "previous champion");
  const { figures } = compared;
  const expected = evidence.asked * ((policy.probation?.percent ?? 100) / 100);
  const needed = neededOf(policy, "probation");
  const pairs = evidence.challenger.length;
  if (expected >= needed * SHADOW_PATIENCE && pairs < needed) {
    const seldom = `The previous champion answered ${pairs} of about ${Math.round(expected)} questions: too seldom to be compared with.`;
    return { kind: "pass", evidence: [seldom, ...compared.evidence], figures };
  }
  return { kind: kindOf(compared.worse, look), evidence: compared.evidence, figures };
}

/** Below so many questions a share of failures says nothing. */
const MIN_QUESTIONS = 50;

/** @param look as for `judgeShadow` */
export function judgeCanary(policy: PromotionPolicy, evidence: CanaryEvidence, look: number): StageVerdict {
  const { champion, challenger, answered, failed } = evidence;
  const questions = answered + failed;
  const share = questions === 0 ? 0 : failed / questions;
  const compared = compare(
    policy,
    lossesOf(challenger.probabilities, challenger.labels),
    lossesOf(champion.probabilities, champion.labels),
  );
  const sentences = [
    `As a canary it answered ${answered} of ${questions} questions; the champion had to answer ${failed} (${percent(share)}).`,
    ...compared.evidence,
  ];
  const figures = { answered, failed, ...compared.figures };
  const failing = questions >= MIN_QUESTIONS && surelyAbove(failed, questions, policy.maxFailures);
  if (failing) sentences.push(`It fails more often than the ${percent(policy.maxFailures)} that are allowed.`);
  return { kind: failing ? "reject" : kindOf(compared.worse, look), evidence: sentences, figures };
}

function kindOf(worse: boolean, look: number): StageVerdict["kind"] {
  if (worse && look > 0) return "reject";
  return look >= LOOKS ? "pass" : "go on";
}

interface Compared {
  readonly worse: boolean;
  readonly evidence: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

/** Worse is what is worse by more than the tolerance, and not by chance. Arguments: the losses of who is judged, and of whom it is judged by. */
function compare(
  { tolerance }: PromotionPolicy,
  own: Float64Array,
  others: Float64Array,
  other: "champion" | "previous champion" = "champion",
): Compared {
  const outcomes = own.length;
  const difference = differenceOf(own, others);
  if (difference === undefined) {
    const few = `The truth is known for ${outcomes} of its answers and ${others.length} of the ${other}'s: too few to compare (${MIN_ROWS} each).`;
    return { worse: false, evidence: [few], figures: { outcomes } };
  }
  const worse = difference.mean > tolerance && difference.low > 0;
  const [ownLoss, otherLoss] = [meanOf(own), meanOf(others)];
  const numbers = `With the truth of ${outcomes} of its answers and ${others.length} of the ${other}'s, its log loss is ${show(ownLoss)} against ${show(otherLoss)}`;
  return {
    worse,
    evidence: [`${numbers}: ${wordsOf(difference, worse, tolerance)}.`],
    figures: {
      outcomes,
      log_loss: ownLoss,
      [other === "champion" ? "champion_log_loss" : "previous_log_loss"]: otherLoss,
      tolerance,
      loss_increase: difference.mean,
      at_least: difference.low,
      at_most: difference.high,
    },
  };
}

function wordsOf({ mean, low, high }: Difference, worse: boolean, tolerance: number): string {
  const range = `between ${show(low)} and ${show(high)}`;
  if (worse) return `worse by ${show(mean)}, surely by ${show(low)} (tolerance ${tolerance})`;
  return `a difference of ${show(mean)}, ${range}, which is not clearly worse (tolerance ${tolerance})`;
}

/** Log loss of both on the questions whose truth is known. */
function labelledLosses({ champion, challenger, labels }: ShadowEvidence): {
  champion: Float64Array;
  challenger: Float64Array;
} {
  const known = Uint32Array.from(labels.keys()).filter((row) => !Number.isNaN(labels[row]));
  const take = (values: Float64Array): Float64Array => Float64Array.from(known, (row) => values[row] as number);
  const truth = take(labels);
  return { champion: lossesOf(take(champion), truth), challenger: lossesOf(take(challenger), truth) };
}

/** Log loss of each row; no answer costs more than 1e-6 would. */
function lossesOf(probabilities: Float64Array, labels: Float64Array): Float64Array {
  return probabilities.map((probability, row) => {
    const likely = labels[row] === 1 ? probability : 1 - probability;
    return -Math.log(Math.max(likely, 1e-6));
  });
}

/** Wilson's lower bound at three standard errors: looked at often, it still seldom errs. */
function surelyAbove(failed: number, questions: number, limit: number): boolean {
  const z = 3;
  const share = failed / questions;
  const centre = share + (z * z) / (2 * questions);
  const spread = z * Math.sqrt((share * (1 - share)) / questions + (z * z) / (4 * questions * questions));
  return (centre - spread) / (1 + (z * z) / questions) > limit;
}

const meanOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const show = (value: number): string => value.toFixed(4);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
