import { MillraceError } from "@millrace/runtime";
import { addLookUp } from "../export/categories.ts";
import { addLinear } from "../export/linear.ts";
import type { Scores } from "../gbdt/objective.ts";
import type { LabelScale } from "../head.ts";
import { scoreLinear } from "../linear/linearModel.ts";
import { logit } from "../logOdds.ts";
import { baseRate, classShares, type Matrix } from "../matrix.ts";
import type { Task } from "../task.ts";
import type { Fitted, TrainerRows } from "./trainer.ts";

/** What knows little: the prior; a feature's own value; or the labels' mean by a feature's value. */
export type BaselineKind =
  | { readonly kind: "prior" }
  | { readonly kind: "last_value"; readonly feature: string }
  | { readonly kind: "segment_mean"; readonly feature: string };

/** A segment's own mean counts as much as that of all rows once it has so many rows. */
const PRIOR_ROWS = 20;
/** A value that is taken for a probability is kept this far from 0 and 1. */
const MIN_PROBABILITY = 0.01;

/**
 * @param labelScale how labels were standardised: a last value has to be, too
 * @throws `failed_precondition` for a baseline that the app's features or task do not allow
 */
export function fitBaseline(rows: TrainerRows, baseline: BaselineKind, labelScale: LabelScale): Fitted {
  switch (baseline.kind) {
    case "prior":
      return fitPrior(rows);
    case "last_value":
      return fitLastValue(rows, featureOf(rows, baseline), labelScale);
    case "segment_mean":
      return fitSegmentMean(rows, featureOf(rows, baseline));
  }
}

function featureOf({ train }: TrainerRows, baseline: BaselineKind & { feature: string }): number {
  const feature = train.featureNames.indexOf(baseline.feature);
  if (feature !== -1) return feature;
  throw new MillraceError(
    "failed_precondition",
    `The baseline ${baseline.kind} needs the feature ${baseline.feature}, which is not there; there are ${train.featureNames.join(", ")}`,
  );
}

/** The scores that fit rows best that nothing is known of. */
function priorScores(task: Task, rows: Pick<Matrix, "labels" | "weights">): Float64Array {
  switch (task.kind) {
    case "binary":
      return Float64Array.of(logit(baseRate(rows)));
    case "multiclass":
      return classShares(rows, task.classes.length).map(Math.log);
    case "regression":
      return Float64Array.of(baseRate(rows));
  }
}

function fitPrior({ task, train }: TrainerRows): Fitted {
  const intercepts = priorScores(task, train);
  const zeroes = new Float64Array(train.columns.length);
  const weights = Array.from(intercepts, () => zeroes);
  const model = { means: zeroes, deviations: zeroes.map(() => 1), weights, intercepts };
  return {
    ...BASELINE,
    score: (columns) => scoreLinear(model, columns),
    addScores: (graph, columns) => addLinear(graph, columns, model),
    calibrates: false,
    parameters: { kind: "prior" },
  };
}

const BASELINE = { name: "baseline", takesCodes: false, importance: new Float64Array(0) };

/** The feature's value; where it is missing, the prior. */
function fitLastValue({ task, train }: TrainerRows, feature: number, { center, scale }: LabelScale): Fitted {
  if (task.kind === "multiclass") {
    throw new MillraceError(
      "failed_precondition",
      "The baseline last_value is for numbers; take segment_mean for classes",
    );
  }
  const [prior = 0] = priorScores(task, train);
  const isBinary = task.kind === "binary";
  const clamp = (value: number): number => Math.min(Math.max(value, MIN_PROBABILITY), 1 - MIN_PROBABILITY);
  const scoreOf = (value: number): number => {
    if (Number.isNaN(value)) return prior;
    return isBinary ? logit(clamp(Math.fround(value))) : (Math.fround(value) - center) / scale;
  };
  return {
    ...BASELINE,
    score: (columns) => [(columns[feature] as Float64Array).map(scoreOf)],
    addScores: (graph, columns) => {
      const value = graph.node("Gather", [columns, graph.indexes([feature])], { axis: 1n });
      const constant = (of: number): string => graph.constant([of], [1]);
      const missing = graph.node("IsNaN", [value]);
      let score: string;
      if (isBinary) {
        const high = graph.node("Min", [value, constant(1 - MIN_PROBABILITY)]);
        const kept = graph.node("Max", [high, constant(MIN_PROBABILITY)]);
        const odds = graph.node("Div", [kept, graph.node("Sub", [constant(1), kept])]);
        score = graph.node("Log", [odds]);
      } else {
        score = graph.node("Div", [graph.node("Sub", [value, constant(center)]), constant(scale)]);
      }
      return graph.node("Where", [missing, constant(prior), score]);
    },
    calibrates: true,
    parameters: { kind: "last_value", feature: train.featureNames[feature] },
  };
}

/** The labels' mean, or the classes' shares, by the feature's value, smoothed; of values that training did not see, the prior. */
function fitSegmentMean({ task, train, raw }: TrainerRows, feature: number): Fitted {
  const column = Float64Array.from(raw[feature] as Float64Array, Math.fround);
  const prior = priorScores(task, train).map(Math.fround);
  const rowsByValue = Map.groupBy(column.keys(), (row) => column[row] as number);
  rowsByValue.delete(Number.NaN);
  const values = Float64Array.from(rowsByValue.keys()).sort();
  const scores = Array.from(values, (value) => segmentScores(task, train, rowsByValue.get(value) ?? []));
  const tables = Array.from(prior, (_, output) => Float64Array.from(scores, (of) => Math.fround(of[output] as number)));
  const placeOf = new Map(Array.from(values, (value, place) => [value, place]));
  const score = (columns: readonly Float64Array[]): Scores =>
    tables.map((table, output) =>
      (columns[feature] as Float64Array).map((value) => {
        const place = placeOf.get(Math.fround(value));
        return (place === undefined ? prior[output] : table[place]) as number;
      }),
    );
  return {
    ...BASELINE,
    score,
    addScores: (graph, columns) => {
      const found = tables.map((table, output) =>
        addLookUp(graph, columns, feature, values, table, prior[output] as number),
      );
      return found.length === 1 ? (found[0] as string) : graph.node("Concat", found, { axis: 1n });
    },
    calibrates: false,
    parameters: { kind: "segment_mean", feature: train.featureNames[feature], segments: values.length },
  };
}

/** As if each segment had `PRIOR_ROWS` rows more that are like all rows. */
function segmentScores(task: Task, train: Matrix, rows: readonly number[]): Float64Array {
  const weights = Float64Array.from(rows, (row) => train.weights?.[row] ?? 1);
  const labels = Float64Array.from(rows, (row) => train.labels[row] as number);
  const weight = weights.reduce((sum, of) => sum + of, 0);
  const smooth = (own: number, all: number): number =>
    ((weight > 0 ? own * weight : 0) + all * PRIOR_ROWS) / (weight + PRIOR_ROWS);
  if (task.kind === "multiclass") {
    const classes = task.classes.length;
    const all = classShares(train, classes);
    return classShares({ labels, weights }, classes).map((share, label) =>
      Math.log(smooth(share, all[label] as number)),
    );
  }
  const mean = smooth(baseRate({ labels, weights }), baseRate(train));
  return Float64Array.of(task.kind === "binary" ? logit(mean) : mean);
}
