import { type App, Trigger, TriggerSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { formatDuration } from "./duration.ts";
import { enumName } from "./enumName.ts";
import type { Problems } from "./problems.ts";
import { durationToMs } from "./tile.ts";

const MINUTE_MS = 60_000;

/** Checks which labels count and when the app is retrained: rules that could never be kept, or never matter, are mistakes. */
export function checkFeedback(app: App, problems: Problems): void {
  checkLabelTimes(app, problems);
  checkReview(app, problems);
  if ((app.label?.holdOut ?? 0) > 0 && (app.serving?.decisions.length ?? 0) === 0)
    problems.add(
      "label.hold_out",
      "no_decisions",
      "without serving.decisions there is none that could keep the truth from being seen",
    );
  checkTriggers(app, problems);
  checkPace(app, problems);
}

function checkLabelTimes({ label }: App, problems: Problems): void {
  const wait = durationToMs(label?.wait);
  const early = durationToMs(label?.early);
  const corrections = durationToMs(label?.corrections);
  if (wait !== undefined && early !== undefined && (early < 0 || early > wait)) {
    const description = `must be from 0s to label.wait (${formatDuration(wait)}), not ${formatDuration(early)}`;
    problems.add("label.early", "out_of_range", description);
  }
  if (wait !== undefined && corrections !== undefined && corrections < wait) {
    const description = `${formatDuration(corrections)} is shorter than label.wait (${formatDuration(wait)}), in which labels count anyway`;
    problems.add("label.corrections", "out_of_range", description);
  }
}

function checkReview({ label, serving }: App, problems: Problems): void {
  const review = label?.review;
  if (review === undefined) return;
  const from = review.from ?? serving?.abstain?.from;
  const to = review.to ?? serving?.abstain?.to;
  if (from === undefined || to === undefined) {
    const description = "which probabilities are uncertain? Give from and to, as there is no serving.abstain to go by";
    problems.add("label.review", "missing", description);
  } else if (from >= to) {
    problems.add("label.review.from", "empty_range", `must be less than to: ${from} is not less than ${to}`);
  }
  const expires = durationToMs(review.expires);
  if (expires !== undefined && expires < MINUTE_MS)
    problems.add("label.review.expires", "out_of_range", `must be at least 1m, not ${formatDuration(expires)}`);
}

function checkTriggers({ retraining, monitoring }: App, problems: Problems): void {
  const on = retraining?.on ?? [];
  const needs = (trigger: Trigger, path: string, given: boolean): void => {
    const index = on.indexOf(trigger);
    const name = enumName(TriggerSchema, trigger);
    if (index >= 0 && !given)
      problems.add(`retraining.on[${index}]`, "never_asks", `${name} asks for nothing without ${path}`);
    if (index < 0 && on.length > 0 && given && path.startsWith("retraining."))
      problems.add(
        path,
        "never_asked",
        `it has no effect, as retraining.on names its triggers and ${name} is not among them`,
      );
  };
  on.forEach((trigger, index) => {
    if (on.indexOf(trigger) < index)
      problems.add(`retraining.on[${index}]`, "repeated", `${enumName(TriggerSchema, trigger)} stands twice`);
  });
  needs(Trigger.SCHEDULE, "retraining.every", retraining?.every !== undefined);
  needs(Trigger.VOLUME, "retraining.every_labels", (retraining?.everyLabels ?? 0) > 0);
  for (const trigger of [Trigger.DRIFT, Trigger.PERFORMANCE, Trigger.ESTIMATED_PERFORMANCE])
    needs(trigger, "monitoring, whose alerts it goes by", monitoring !== undefined);
}

function checkPace({ retraining }: App, problems: Problems): void {
  if (retraining === undefined) return;
  const { everyLabels, minNewLabels, budget } = retraining;
  const every = durationToMs(retraining.every);
  const cooldown = durationToMs(retraining.cooldown);
  const per = durationToMs(budget?.per);
  if (every !== undefined && every < MINUTE_MS)
    problems.add("retraining.every", "out_of_range", `must be at least 1m, not ${formatDuration(every)}`);
  if (every !== undefined && cooldown !== undefined && cooldown > every) {
    const description = `${formatDuration(cooldown)} is longer than retraining.every (${formatDuration(every)}), which could then never be kept`;
    problems.add("retraining.cooldown", "out_of_range", description);
  }
  if (everyLabels > 0 && everyLabels < minNewLabels) {
    const description = `${everyLabels} is less than retraining.min_new_labels (${minNewLabels}), without which nothing is trained`;
    problems.add("retraining.every_labels", "out_of_range", description);
  }
  if (
    every !== undefined &&
    per !== undefined &&
    budget !== undefined &&
    budget.trainings > 0 &&
    budget.trainings * every < per
  ) {
    const most = `${budget.trainings} in ${formatDuration(per)}`;
    const description = `${most} is less than retraining.every (${formatDuration(every)}) asks for, which could then never be kept`;
    problems.add("retraining.budget", "out_of_range", description);
  }
}
