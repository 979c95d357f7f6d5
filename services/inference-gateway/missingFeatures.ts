import { type App, WhenMissing } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MillraceError } from "@millrace/runtime";

/** What an app does with a question that lacks features: places in its vectors, by the policy of each. */
export interface MissingPolicy {
  /** Without these no model is asked. */
  readonly fallBack: readonly number[];
  /** Without these there is no answer. */
  readonly refuse: readonly number[];
  readonly names: readonly string[];
}

/** @param names of the app's features, in the order of a vector */
export function compileMissing(app: App, names: readonly string[]): MissingPolicy {
  const ofApp = app.serving?.whenMissing ?? WhenMissing.UNSPECIFIED;
  const places = (policy: WhenMissing): number[] =>
    names.flatMap((name, place) => ((app.features[name]?.whenMissing || ofApp) === policy ? [place] : []));
  return { fallBack: places(WhenMissing.FALL_BACK), refuse: places(WhenMissing.REFUSE), names };
}

/**
 * Why no model may be asked, or undefined when one may.
 *
 * @param features in the order of the app's names, or why there are none
 * @throws `failed_precondition` naming the features without which there is no answer; `unavailable` when they cannot be read now.
 */
export function checkMissing(policy: MissingPolicy, features: Float64Array | string): string | undefined {
  if (typeof features === "string") {
    if (policy.refuse.length > 0) throw new MillraceError("unavailable", features, { retryAfterMs: RETRY_MS });
    return features;
  }
  const refused = namesOfMissing(policy, policy.refuse, features);
  if (refused.length > 0) {
    const violations = refused.map((name) => ({
      field: `features.${name}`,
      reason: "feature_missing",
      description: `${name} is missing for this question, and the app refuses to answer without it (when_missing: REFUSE)`,
    }));
    throw new MillraceError("failed_precondition", `missing: ${refused.join(", ")}`, { violations });
  }
  const lacking = namesOfMissing(policy, policy.fallBack, features);
  return lacking.length === 0 ? undefined : `missing: ${lacking.join(", ")}`;
}

const RETRY_MS = 1_000;

function namesOfMissing({ names }: MissingPolicy, places: readonly number[], features: Float64Array): string[] {
  const missing: string[] = [];
  for (const place of places) if (Number.isNaN(features[place])) missing.push(names[place] as string);
  return missing;
}
