import { randomNumbers } from "@millrace/metrics";
import { type Matrix, selectRows } from "./matrix.ts";
import { BINARY, REGRESSION, type Task } from "./task.ts";

export const MULTICLASS: Task = { kind: "multiclass", classes: ["calm", "busy", "full"] };
export const TASKS: readonly Task[] = [BINARY, MULTICLASS, REGRESSION];

/**
 * Rows with two amounts, `a` and `b`, of which every tenth is missing, and a category, `c`, of twelve: what is predicted grows with `a`,
 * bends with `b`, and is different for each category without any order.
 */
export function rowsOf(task: Task, rows: number, seed = 1): Matrix {
  const random = randomNumbers(seed);
  const known = (value: number): number => (random() < 0.1 ? Number.NaN : value);
  const a = Float64Array.from({ length: rows }, () => known(random() * 10));
  const b = Float64Array.from({ length: rows }, () => known(random() * 2 - 1));
  const c = Float64Array.from({ length: rows }, () => 100 + Math.floor(random() * 12));
  const labels = Float64Array.from({ length: rows }, (_, row) => {
    const ofCategory = (((c[row] as number) * 7) % 12) / 4 - 1.4;
    const score = ((a[row] as number) || 5) / 4 - 1.25 + 2 * ((b[row] as number) || 0) ** 2 + ofCategory;
    const noise = random();
    if (task.kind === "regression") return 50 + 20 * (score + noise - 0.5);
    const chance = 1 / (1 + Math.exp(-score));
    if (task.kind === "binary") return noise < chance ? 1 : 0;
    return noise < chance ** 2 ? 2 : noise < chance ? 1 : 0;
  });
  return { featureNames: ["a", "b", "c"], columns: [a, b, c], labels, categorical: ["c"] };
}

export const range = (begin: number, end: number): number[] =>
  Array.from({ length: end - begin }, (_, index) => begin + index);

/** Seven tenths to train on, and a tenth each for validation, calibration and judging. */
export function partsOf(all: Matrix): { train: Matrix; validation: Matrix; calibration: Matrix; holdout: Matrix } {
  const tenth = Math.floor(all.labels.length / 10);
  return {
    train: selectRows(all, range(0, 7 * tenth)),
    validation: selectRows(all, range(7 * tenth, 8 * tenth)),
    calibration: selectRows(all, range(8 * tenth, 9 * tenth)),
    holdout: selectRows(all, range(9 * tenth, 10 * tenth)),
  };
}
