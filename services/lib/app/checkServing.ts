import { type App, Fallback, FallbackSchema, type Serving, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { checkServedTask } from "./checkServedTask.ts";
import { DEFAULT_ABSTENTION, type DecisionRange, decisionBands, NUMBERS, PROBABILITIES } from "./decisionBands.ts";
import { formatDuration } from "./duration.ts";
import { enumName } from "./enumName.ts";
import { eventTypeOf } from "./expressionsOfApp.ts";
import { listNames, type Problems, show } from "./problems.ts";
import { durationToMs } from "./tile.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Checks deadlines, batches, the fallback chain, decisions, the cache and the canary. */
export function checkServing(app: App, problems: Problems): void {
  const { serving } = app;
  if (serving === undefined) return;
  checkTimes(serving, problems);
  checkChain(serving, problems);
  checkServedTask(app, problems);
  const task = app.model?.task ?? Task.UNSPECIFIED;
  if (task === Task.MULTICLASS) checkNames(serving, app.model?.classes ?? [], problems);
  else checkDecisions(serving, task === Task.REGRESSION ? NUMBERS : PROBABILITIES, problems);
  const { canaryBy } = serving;
  const fields = eventTypeOf(app, app.prediction?.at ?? "")?.fields;
  if (canaryBy !== "" && fields !== undefined && !Object.hasOwn(fields, canaryBy)) {
    problems.add(
      "serving.canary_by",
      "unknown_field",
      `${app.prediction?.at} has no field ${show(canaryBy)}; its fields: ${listNames(Object.keys(fields))}`,
    );
  }
}

function checkTimes({ deadline, batch, cache }: Serving, problems: Problems): void {
  const deadlineMs = durationToMs(deadline) ?? 0;
  const maxDelay = durationToMs(batch?.maxDelay) ?? 0;
  if (deadlineMs > MINUTE_MS) {
    problems.add("serving.deadline", "out_of_range", `must be at most 1m, not ${formatDuration(deadlineMs)}`);
  }
  if (deadlineMs > 0 && maxDelay >= deadlineMs) {
    problems.add(
      "serving.batch.max_delay",
      "out_of_range",
      `${formatDuration(maxDelay)} must be shorter than the deadline of ${formatDuration(deadlineMs)}`,
    );
  }
  const ttl = durationToMs(cache?.ttl) ?? 0;
  if (ttl > DAY_MS) problems.add("serving.cache.ttl", "out_of_range", `must be at most 1d, not ${formatDuration(ttl)}`);
}

function checkChain({ fallback, budgets }: Serving, problems: Problems): void {
  fallback.forEach((step, index) => {
    if (fallback.indexOf(step) < index) {
      problems.add(
        `serving.fallback[${index}]`,
        "repeated",
        `${enumName(FallbackSchema, step)} stands twice in the chain`,
      );
    }
  });
  const previous = fallback.indexOf(Fallback.PREVIOUS);
  const baseline = fallback.indexOf(Fallback.BASELINE);
  if (baseline >= 0 && previous > baseline) {
    problems.add(
      `serving.fallback[${previous}]`,
      "never_asked",
      "PREVIOUS comes after BASELINE, which always answers; put it before",
    );
  }
  if (budgets === undefined) return;
  if (budgets.previous !== undefined && previous < 0) {
    problems.add("serving.budgets.previous", "never_asked", "PREVIOUS is not in serving.fallback");
  }
  const { canary = 0, champion = 0, previous: ofPrevious = 0 } = budgets;
  const sum = canary + champion + ofPrevious;
  // Shares such as 0.7 + 0.2 + 0.1 do not add up exactly.
  if (sum > 1 + 1e-9) {
    problems.add("serving.budgets", "over_100_percent", `the shares add up to ${Math.round(sum * 1_000) / 10}%`);
  }
}

function checkDecisions(serving: Serving, range: DecisionRange, problems: Problems): void {
  const { decisions, abstain } = serving;
  const byCost = decisions.some(({ cost }) => cost !== undefined);
  decisions.forEach(({ name, atLeast, cost }, index) => {
    const path = `serving.decisions[${index}]`;
    const before = decisions[index - 1];
    if (byCost && cost === undefined) {
      problems.add(`${path}.cost`, "missing", `other decisions have costs, so ${name} needs its own`);
    } else if (byCost && atLeast !== 0) {
      problems.add(`${path}.at_least`, "two_kinds", `${name} has a cost; leave out at_least ${atLeast}`);
    } else if (!byCost && before !== undefined && before.atLeast <= atLeast) {
      problems.add(
        `${path}.at_least`,
        "not_descending",
        `${atLeast} must be below the ${before.atLeast} of ${before.name}: decisions go from the highest down`,
      );
    }
    if (decisions.findIndex((other) => other.name === name) < index) {
      problems.add(`${path}.name`, "repeated", `there are two decisions called ${show(name)}`);
    }
  });
  checkAbstain(serving, problems);
  if (!problems.none) return;
  const bands = decisionBands(serving, range);
  decisions.forEach(({ name }, index) => {
    if (bands.some(({ decision }) => decision === name)) return;
    const why = byCost ? "at every probability another costs less" : "the abstain band covers all of it";
    problems.add(`serving.decisions[${index}]`, "never_chosen", `${name} is never chosen: ${why}`);
  });
  if (abstain !== undefined && decisions.length === 0) {
    problems.add("serving.abstain", "no_decisions", "there are no decisions to abstain from; name some");
  }
}

function checkAbstain({ decisions, abstain }: Serving, problems: Problems): void {
  if (abstain === undefined) return;
  const { from, to } = abstain;
  if (from >= to) {
    problems.add("serving.abstain.from", "empty_range", `from ${from} must be below to ${to}`);
  }
  checkNames(
    { abstain },
    decisions.map(({ name }) => name),
    problems,
  );
}

/** Whoever reads a decision has to know whether it is an abstention. */
function checkNames({ abstain }: Pick<Serving, "abstain">, decisions: readonly string[], problems: Problems): void {
  const name = abstain?.decision || DEFAULT_ABSTENTION;
  if (abstain !== undefined && decisions.includes(name)) {
    problems.add("serving.abstain.decision", "repeated", `there is a decision called ${show(name)} already`);
  }
}
