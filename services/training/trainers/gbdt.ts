import { addTrees } from "../export/trees.ts";
import { scoreBoostedTrees, trainBoostedTrees } from "../gbdt/boost.ts";
import { BOOST_DEFAULTS, checkBoostParameters } from "../gbdt/boostParameters.ts";
import { objectiveOf } from "../gbdt/objective.ts";
import { type Trainer, withDefaults } from "./trainer.ts";

/** Gradient-boosted trees. */
export const fitGbdt: Trainer = async (rows, { parameters, seed, threads, signal, onProgress }) => {
  const all = withDefaults(BOOST_DEFAULTS, parameters);
  checkBoostParameters(all);
  const objective = objectiveOf(rows.task);
  const model = await trainBoostedTrees(rows.train, rows.validation, all, {
    objective,
    monotone: rows.monotone,
    seed,
    threads,
    signal,
    onTree: (tree) => onProgress?.(tree / all.trees, `tree ${tree} of at most ${all.trees}`),
  });
  return {
    name: "gbdt",
    takesCodes: true,
    score: (columns) => scoreBoostedTrees(model, columns),
    addScores: (graph, columns) => addTrees(graph, columns, model),
    calibrates: true,
    parameters: { ...all, trees_kept: model.trees.length / objective.outputs },
    importance: model.importance,
  };
};
