/**
 * Whether retraining earns its keep: six months of flights in event time, served by the app's own policy, by a model that is never retrained, and by weekly schedules.
 *
 * Every fourth flight is a row (`--every 4`), with the features that the engine serves; alerts, decisions, training and gates are the services' own code.
 * All begin with the same model, of three weeks of history. `--quick`: until the end of February. `--try "model.history: 56d, gates: off"` adds the
 * app's policy with other settings (null leaves one out), and may be given again; `--only name` runs what is named so, and may be given again, too.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { flightHistory } from "./retraining/flightHistory.ts";
import { type LoopOptions, runLoop, type Served } from "./retraining/loop.ts";
import { otherPolicies, ownPolicy, type Policy, readChanges } from "./retraining/policies.ts";
import { advantageOf, type Quality, qualityByMonth, scoredRows } from "./retraining/report.ts";
import { train } from "./retraining/training.ts";

const APP_FILE = join(import.meta.dirname, "../../deploy/apps/flight-delays/app.yaml");
const FROM_MS = Date.UTC(2001, 0, 22);
const AIM = 1.008;
const OURS = "served";
const FROZEN = "frozen";

const { values } = parseArgs({
  options: {
    every: { type: "string", default: "4" },
    quick: { type: "boolean", default: false },
    try: { type: "string", multiple: true, default: [] },
    only: { type: "string", multiple: true, default: [] },
  },
});
const began = performance.now();
const tell = (what: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${what}`);

const text = readFileSync(APP_FILE, "utf8");
const own = ownPolicy(OURS, text);
const every = Number(values.every);
tell("the features of the flights");
const history = await flightHistory(own.app.app, every);
const toMs = values.quick ? Date.UTC(2001, 2, 1) : Date.UTC(2001, 6, 1);
const { maxRows } = own;
const { model: first } = await train(history, own.app, FROM_MS, {
  number: 1,
  champion: undefined,
  gated: true,
  maxRows,
});
tell(`${history.labels.length} flights; the first model is a ${first.algorithm}`);

const named = [own, ...otherPolicies(text)].filter(
  ({ name }) => values.only.length === 0 || values.only.includes(name),
);
const policies: Policy[] = [...named, ...values.try.map((changes) => ownPolicy(changes, text, readChanges(changes)))];
const scored = scoredRows(history, FROM_MS, toMs);
const results = new Map<string, Served>();
const qualities = new Map<string, Quality[]>();
for (const policy of policies) {
  const options: LoopOptions = { history, first, every, fromMs: FROM_MS, toMs, tell };
  const served = await runLoop(policy, options);
  const quality = qualityByMonth(scored, served.probabilities);
  results.set(policy.name, served);
  qualities.set(policy.name, quality);
  const losses = quality.map(({ when, logLoss }) => `${when} ${logLoss.toFixed(4)}`).join(", ");
  tell(`${policy.name}: log loss ${losses}; ${served.trainings.length} trainings`);
}

const months = [...qualities.values()][0]?.map(({ when }) => when) ?? [];
const width = Math.max(...[...results.keys()].map((name) => name.length));
for (const [title, of] of [
  ["log loss", ({ logLoss }: Quality) => logLoss],
  ["AUC", ({ auc }: Quality) => auc],
] as const) {
  console.log(`\n${title.padEnd(width)}  ${months.map((month) => month.padStart(7)).join("  ")}  trainings  promoted`);
  for (const [name, quality] of qualities) {
    const trainings = results.get(name)?.trainings ?? [];
    const promoted = trainings.filter((training) => training.promoted).length;
    const cells = quality.map((one) => of(one).toFixed(4).padStart(7)).join("  ");
    console.log(
      `${name.padEnd(width)}  ${cells}  ${String(trainings.length).padStart(9)}  ${String(promoted).padStart(8)}`,
    );
  }
}

console.log("");
const figures: Record<string, unknown> = {};
for (const [name, { probabilities, trainings }] of results) {
  const against: Record<string, unknown> = {};
  for (const [other, served] of results) {
    if (other === name || (name !== OURS && other !== FROZEN && other !== OURS)) continue;
    const { value, lower, upper } = advantageOf(scored, probabilities, served.probabilities);
    against[other] = { value, lower, upper };
    console.log(
      `${name} is better than ${other} by ${show(value)} log loss (${show(lower)} to ${show(upper)}, 95 %, days drawn)`,
    );
  }
  const promoted = trainings.filter((training) => training.promoted).length;
  figures[name] = { months: qualities.get(name), trainings: trainings.length, promoted, betterThan: against };
}
const lossOf = (name: string): number => qualities.get(name)?.at(-1)?.logLoss ?? Number.NaN;
tell("done");
console.log(
  JSON.stringify({
    bench: "retraining",
    ratio: lossOf(FROZEN) / lossOf(OURS),
    aim: AIM,
    yardstick: "log loss of the first model, never retrained, on the same flights",
    figures,
  }),
);

function show(value: number): string {
  return value.toFixed(5);
}
