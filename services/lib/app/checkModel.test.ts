import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type App, Monotone, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { MillraceError } from "@millrace/runtime";
import { compileLabel, compileRequestExpression } from "./expressionsOfApp.ts";
import { parseApp } from "./parseApp.ts";
import { durationToMs } from "./tile.ts";

const readApp = (name: string): string =>
  readFileSync(new URL(`../../../deploy/apps/${name}/app.yaml`, import.meta.url), "utf8");
const FLIGHTS = readApp("flight-delays");
const [BEFORE_MODEL = ""] = FLIGHTS.split("\nmodel:\n");
const afterModel = (app: string): string => app.slice(app.indexOf("\nserving:"));
const AFTER_BINARY = afterModel(FLIGHTS);
const AFTER_REGRESSION = afterModel(readApp("flight-delay-minutes"));
const AFTER_MULTICLASS = afterModel(readApp("flight-delay-class")).replace("on-time", "late");
/** How a model of the task is served. */
const afterOf = (model: string): string => {
  if (model.includes("REGRESSION")) return AFTER_REGRESSION;
  return model.includes("MULTICLASS") ? AFTER_MULTICLASS : AFTER_BINARY;
};

/** The flights' app with another model section and label. */
const withModel = (model: string, label = "event.delay >= 15.0"): string =>
  `${BEFORE_MODEL.replace(/(join: flight_id\n {2}value: )"[^"]*"/, `$1${JSON.stringify(label)}`)}\nmodel:\n${model}${afterOf(model)}`;

const parsed = (model: string, label?: string): App => parseApp(withModel(model, label));

function problemsOf(model: string, label?: string): string[] {
  try {
    parsed(model, label);
  } catch (error) {
    return (error as MillraceError).violations.map(({ field, reason }) => `${field} ${reason}`);
  }
  return [];
}

const CLASSES = 'event.delay < 15.0 ? "on time" : event.delay < 60.0 ? "late" : "very late"';
const MULTICLASS = `  task: MULTICLASS
  classes: [on time, late, very late]
  candidates: [GBDT, LOGISTIC, BASELINE]
  metric: LOG_LOSS
  holdout: 20%
`;
const REGRESSION = `  task: REGRESSION
  candidates: [GBDT, LINEAR, BASELINE]
  metric: RMSE
  holdout: 20%
`;
const BINARY = REGRESSION.replace("REGRESSION", "BINARY").replace("LINEAR", "LOGISTIC").replace("RMSE", "BRIER");

test("a model section with everything in it is read", () => {
  const { model } = parsed(
    `${REGRESSION}  coverage: 80%
  categorical: [weekday]
  monotone: { origin_late_6h: INCREASING, distance: decreasing }
  half_life: 30d
  baseline: { segment_mean: weekday }
  segments: [weekday, origin]
  search: { trials: 20, time: 10m }
  rolling: 3
  time_limit: 1h
  gates: { max_rmse: 40, min_r2: -0.1, max_coverage_error: 5%, max_segment_gap: 3, max_artefact_bytes: 1000000, confidence: 90% }
`,
    "event.delay",
  );
  assert.equal(model?.task, Task.REGRESSION);
  assert.equal(model.coverage, 0.8);
  assert.deepEqual(model.monotone, { origin_late_6h: Monotone.INCREASING, distance: Monotone.DECREASING });
  assert.equal(durationToMs(model.halfLife), 30 * 86_400_000);
  assert.deepEqual(model.baseline?.kind, { case: "segmentMean", value: "weekday" });
  assert.equal(model.search?.trials, 20);
  assert.equal(model.gates?.maxArtefactBytes, 1_000_000n);
  assert.equal(model.gates.minR2, -0.1);
});

test("what does not fit the task is told with its path", () => {
  const cases: readonly (readonly [model: string, label: string | undefined, problems: readonly string[]])[] = [
    [BINARY, undefined, []],
    [MULTICLASS, CLASSES, []],
    [MULTICLASS, "event.delay >= 15.0", ["label.value wrong_type"]],
    [REGRESSION, "event.origin", ["label.value wrong_type"]],
    [BINARY, "event.delay", ["label.value wrong_type"]],
    [BINARY.replace("LOGISTIC", "LINEAR"), undefined, ["model.candidates[1] does_not_fit"]],
    [REGRESSION.replace("LINEAR", "LOGISTIC"), "event.delay", ["model.candidates[1] does_not_fit"]],
    [REGRESSION.replace("RMSE", "AUC"), "event.delay", ["model.metric does_not_fit"]],
    [`${BINARY}  coverage: 90%\n`, undefined, ["model.coverage does_not_fit"]],
    [`${BINARY}  classes: [a, b]\n`, undefined, ["model.classes does_not_fit"]],
    [MULTICLASS.replace("[on time, late, very late]", "[late]"), CLASSES, ["model.classes missing"]],
    [MULTICLASS.replace("very late", "late"), CLASSES, ["model.classes[2] repeated"]],
    [`${BINARY}  gates: { max_rmse: 3 }\n`, undefined, ["model.gates.max_rmse does_not_fit"]],
    [`${BINARY}  gates: { min_auc: 3 }\n`, undefined, ["model.gates.min_auc out_of_range"]],
    [`${BINARY}  gates: { max_cost: 3 }\n`, undefined, ["model.gates.max_cost no_costs"]],
    [`${BINARY}  gates: { max_segment_gap: 0.1 }\n`, undefined, ["model.gates.max_segment_gap no_segments"]],
    [`${BINARY}  gates: { confidence: 30% }\n`, undefined, ["model.gates.confidence out_of_range"]],
    [`${BINARY}  categorical: [airport]\n`, undefined, ["model.categorical[0] unknown_feature"]],
    [`${BINARY}  segments: [hour, gate]\n`, undefined, ["model.segments[1] unknown_name"]],
    [`${BINARY}  monotone: { gate: INCREASING }\n`, undefined, ["model.monotone.gate unknown_feature"]],
    [`${MULTICLASS}  monotone: { hour: INCREASING }\n`, CLASSES, ["model.monotone.hour does_not_fit"]],
    [
      `${BINARY}  monotone: { hour: INCREASING }\n  categorical: [hour]\n`,
      undefined,
      ["model.monotone.hour contradiction"],
    ],
    [`${BINARY}  monotone: { hour: SIDEWAYS }\n`, undefined, ["model.monotone.hour unknown_value"]],
    [`${BINARY}  baseline: { last_value: gate }\n`, undefined, ["model.baseline.last_value unknown_feature"]],
    [`${MULTICLASS}  baseline: { last_value: hour }\n`, CLASSES, ["model.baseline.last_value does_not_fit"]],
    [`${BINARY}  search: {}\n`, undefined, ["model.search missing"]],
    [`${BINARY}  half_life: 3s\n`, undefined, ["model.half_life out_of_range"]],
  ];
  for (const [model, label, problems] of cases) assert.deepEqual(problemsOf(model, label), problems, model);
});

test("a text may be a feature where the model is told that it is categorical, and equal texts are equal numbers", () => {
  const carrier = (model: string): string =>
    withModel(model).replace("\nlabel:\n", '  from:\n    at_request: "request.origin"\n\nlabel:\n');
  assert.throws(
    () => parseApp(carrier(BINARY)),
    /features\.from\.at_request: is a text; .* model\.categorical names: add from/,
  );
  const app = parseApp(carrier(`${BINARY}  categorical: [from]\n`));
  const expression = compileRequestExpression(app, app.features["from"]?.atRequest ?? "");
  const codeOf = (value: string): number | boolean | undefined =>
    expression.evaluate({ origin: create(ValueSchema, { kind: { case: "stringValue", value } }) }, 0);
  assert.equal(codeOf("SFO"), codeOf("SFO"));
  // Models take float32.
  const codes = ["SFO", "LAX", "ORD", "ATL"].map((name) => Math.fround(Number(codeOf(name))));
  assert.equal(new Set(codes).size, 4);
});

test("a label of a class is its index, one of no class is none, and one of numbers is the number", () => {
  const delay = (value: number) => ({ delay: create(ValueSchema, { kind: { case: "doubleValue", value } }) });
  const classes = compileLabel(parsed(MULTICLASS, CLASSES));
  assert.deepEqual(
    [0, 20, 100].map((minutes) => classes.evaluate(delay(minutes), 0)),
    [0, 1, 2],
  );
  assert.equal(classes.raw(delay(20), 0), "late");
  const other = compileLabel(parsed(MULTICLASS.replace("very late", "never"), CLASSES));
  assert.equal(other.evaluate(delay(100), 0), undefined);
  assert.equal(compileLabel(parsed(REGRESSION, "event.delay")).evaluate(delay(-3.5), 0), -3.5);
  assert.equal(compileLabel(parsed(BINARY)).evaluate(delay(15), 0), true);
});
