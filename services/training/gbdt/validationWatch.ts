import type { Matrix } from "../matrix.ts";
import { binColumn, type Edges } from "./binning.ts";
import type { Objective } from "./objective.ts";
import { addBinnedTreeScores, type Tree } from "./tree.ts";

/** Follows the loss on rows that are not trained on. */
export class ValidationWatch {
  bestRounds = 0;
  roundsSinceBest = 0;
  #bestLoss = Infinity;
  #rounds = 0;
  readonly #bins: Uint8Array;
  readonly #scores: readonly Float64Array[];
  readonly #objective: Objective;
  readonly #rows: Matrix;

  constructor(objective: Objective, validation: Matrix, edges: readonly Edges[], baseScores: Float64Array) {
    const rows = validation.labels.length;
    this.#objective = objective;
    this.#rows = validation;
    this.#scores = Array.from(baseScores, (score) => new Float64Array(rows).fill(score));
    this.#bins = new Uint8Array(rows * edges.length);
    for (const [feature, column] of validation.columns.entries()) {
      binColumn(column, edges[feature] as Edges, this.#bins.subarray(feature * rows, (feature + 1) * rows));
    }
  }

  /** @param trees of a round, one for each output. @returns the loss with them */
  add(trees: readonly Tree[]): number {
    for (const [output, tree] of trees.entries()) {
      addBinnedTreeScores(tree, this.#bins, this.#scores[output] as Float64Array);
    }
    this.#rounds += 1;
    const loss = this.#objective.loss(this.#rows, this.#scores);
    if (loss < this.#bestLoss) {
      this.#bestLoss = loss;
      this.bestRounds = this.#rounds;
    }
    this.roundsSinceBest = this.#rounds - this.bestRounds;
    return loss;
  }
}
