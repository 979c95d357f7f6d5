import type { GraphBuilder } from "@millrace/onnx";
import type { CategoryCodes } from "../categories.ts";
import type { Directions } from "../gbdt/grow.ts";
import type { Scores } from "../gbdt/objective.ts";
import type { Matrix } from "../matrix.ts";
import type { Task } from "../task.ts";

/** What a trainer gets: rows that are checked, and prepared as the model will get them. */
export interface TrainerRows {
  readonly task: Task;
  /** Categories are codes, numbers to predict are standardised. */
  readonly train: Matrix;
  readonly validation: Matrix;
  /** How the categories became codes. */
  readonly codes: CategoryCodes;
  /** The training rows' columns as they came, for trainers that look up categories themselves. */
  readonly raw: readonly Float64Array[];
  readonly monotone: Directions | undefined;
}

export interface TrainerOptions {
  /** What differs from the trainer's defaults. Unknown names are left out. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly seed: number;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((share: number, what: string) => void) | undefined;
}

/** A fitted model, before calibration. */
export interface Fitted {
  /** `gbdt`, `linear` …: the graph's name. */
  readonly name: string;
  /** Whether the model takes codes in the place of categories. */
  readonly takesCodes: boolean;
  /** Scores of columns as it takes them. */
  readonly score: (columns: readonly Float64Array[]) => Scores;
  /** The same as a part of a graph: from columns, float32 [rows, features], to scores, float32 [rows, outputs]. */
  readonly addScores: (graph: GraphBuilder, columns: string) => string;
  /** Whether its probabilities may be corrected. */
  readonly calibrates: boolean;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Share of the split gain per feature; empty where it is not defined. */
  readonly importance: Float64Array;
}

/** @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled */
export type Trainer = (rows: TrainerRows, options: TrainerOptions) => Promise<Fitted>;

/** The defaults with what differs from them, without the parameters of other trainers. */
export function withDefaults<Parameters extends object>(
  defaults: Parameters,
  given: Readonly<Record<string, number>>,
): Parameters {
  const known = Object.entries(given).filter(([name]) => name in defaults);
  return { ...defaults, ...Object.fromEntries(known) };
}
