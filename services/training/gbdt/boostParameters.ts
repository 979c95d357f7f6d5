import { MillraceError } from "@millrace/runtime";
import type { GrowRules } from "./grow.ts";

export interface BoostParameters extends GrowRules {
  /** Rounds; of several classes, each has one tree for each. */
  readonly trees: number;
  /** Stop when the validation's loss has not fallen for this many rounds, and keep those up to the best; 0: never. */
  readonly earlyStopping: number;
  /** Share of the features that each tree may use, drawn for each. */
  readonly featureShare: number;
}

/** XGBoost's defaults, but for the learning rate, and early stopping. */
export const BOOST_DEFAULTS: BoostParameters = {
  trees: 100,
  maxDepth: 6,
  learningRate: 0.1,
  lambda: 1,
  minChildWeight: 1,
  minGain: 0,
  earlyStopping: 20,
  featureShare: 1,
};

/** Deeper trees need memory for 2 ** depth histograms, and learn single rows by heart. */
const MAX_DEPTH = 14;

/** @throws `invalid_argument` naming the parameter, its range and what it was. */
export function checkBoostParameters(parameters: BoostParameters): void {
  const check = (name: keyof BoostParameters, range: string, holds: (value: number) => boolean): void => {
    const value = parameters[name];
    if (!holds(value)) throw new MillraceError("invalid_argument", `gbdt: ${name} is ${value}; it must be ${range}`);
  };
  check("trees", "a whole number from 1 to 10000", (value) => Number.isInteger(value) && value >= 1 && value <= 10_000);
  check(
    "maxDepth",
    `a whole number from 1 to ${MAX_DEPTH}`,
    (value) => Number.isInteger(value) && value >= 1 && value <= MAX_DEPTH,
  );
  for (const name of ["learningRate", "featureShare"] as const) {
    check(name, "above 0 and at most 1", (value) => value > 0 && value <= 1);
  }
  check("earlyStopping", "a whole number, 0 or more", (value) => Number.isInteger(value) && value >= 0);
  for (const name of ["lambda", "minChildWeight", "minGain"] as const) {
    check(name, "a number, 0 or more", (value) => value >= 0 && Number.isFinite(value));
  }
}
