/** Probability of a score in log odds. */
export const sigmoid = (score: number): number => 1 / (1 + Math.exp(-score));

export const logit = (probability: number): number => Math.log(probability / (1 - probability));

/** Log loss of a label of 0 or 1, -ln(probability given to it), from the score in log odds; exact for scores of any size. */
export function lossOfLogOdds(label: number, score: number): number {
  const towardsLabel = label === 1 ? score : -score;
  return Math.log1p(Math.exp(-Math.abs(towardsLabel))) + Math.max(0, -towardsLabel);
}
