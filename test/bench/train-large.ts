/**
 * Gradient-boosted trees on up to 1,000,000 rows × 20 features × 100 trees: whether time grows with the rows, and memory per cell.
 *
 * Rows are made up, with a tenth of the values missing. A quarter, a half and all of them are trained on, on all cores, each in a process of its
 * own: what it takes at most, less what it took with the rows in memory before training began, is the trainer's own memory.
 */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { randomNumbers } from "@millrace/metrics";
import { trainBoostedTrees } from "../../services/training/gbdt/boost.ts";
import { BOOST_DEFAULTS } from "../../services/training/gbdt/boostParameters.ts";
import type { Matrix } from "../../services/training/matrix.ts";

const ROWS = 1_000_000;
const FEATURES = 20;
/** Bytes a cell that the trainer may take, beside a constant for code and histograms. */
const MAX_BYTES_PER_CELL = 6;
const MIB = 2 ** 20;

interface Measured {
  readonly rows: number;
  readonly seconds: number;
  readonly peakBytes: number;
  /** Without the rows themselves. */
  readonly ownBytes: number;
}

function madeUp(rows: number): Matrix {
  const random = randomNumbers(1);
  const columns = Array.from({ length: FEATURES }, () =>
    Float64Array.from({ length: rows }, () => (random() < 0.1 ? Number.NaN : Math.fround(random()))),
  );
  const labels = Float64Array.from({ length: rows }, (_, row) => {
    const [a = 0.5, b = 0.5, c = 0.5] = columns.map((column) => column[row] || 0.5);
    return random() < 1 / (1 + Math.exp(-(4 * (a - 0.5) + 3 * Math.sin(6 * b) * c))) ? 1 : 0;
  });
  return { featureNames: columns.map((_, index) => `f${index}`), columns, labels };
}

/** In a process of its own: prints what it measured. */
async function measure(rows: number): Promise<void> {
  const matrix = madeUp(rows);
  globalThis.gc?.();
  const beforeBytes = process.memoryUsage().rss;
  let peakBytes = 0;
  const look = (): void => {
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
  };
  const startMs = performance.now();
  const options = { threads: availableParallelism(), onTree: look };
  await trainBoostedTrees(matrix, undefined, { ...BOOST_DEFAULTS, earlyStopping: 0 }, options);
  const seconds = (performance.now() - startMs) / 1_000;
  console.log(JSON.stringify({ rows, seconds, peakBytes, ownBytes: peakBytes - beforeBytes } satisfies Measured));
}

function inOwnProcess(rows: number): Measured {
  const nodeArguments = ["--expose-gc", "--disable-warning=ExperimentalWarning", import.meta.filename, String(rows)];
  const { status, stdout, stderr } = spawnSync(process.execPath, nodeArguments, { encoding: "utf8" });
  if (status !== 0) throw new Error(`training ${rows} rows failed: ${stderr}`);
  return JSON.parse(stdout) as Measured;
}

function compare(): void {
  const measured = [ROWS / 4, ROWS / 2, ROWS].map((rows) => {
    const of = inOwnProcess(rows);
    const perCell = of.ownBytes / (rows * FEATURES);
    console.log(
      `${rows.toLocaleString("en-US")} rows: ${of.seconds.toFixed(1)} s; the trainer takes ${(of.ownBytes / MIB).toFixed(0)} MiB, ${perCell.toFixed(1)} bytes a cell`,
    );
    return of;
  });
  const [quarter, , all] = measured as [Measured, Measured, Measured];
  // What grows from a quarter to all, so that what is always there does not count.
  const bytesPerCell = (all.ownBytes - quarter.ownBytes) / ((all.rows - quarter.rows) * FEATURES);
  const growth = all.seconds / quarter.seconds / (all.rows / quarter.rows);
  console.log(
    `Time a row grows by a factor of ${growth.toFixed(2)}; ${bytesPerCell.toFixed(2)} bytes more for each cell more`,
  );
  console.log(
    JSON.stringify({
      bench: "train-large",
      ratio: MAX_BYTES_PER_CELL / bytesPerCell,
      aim: 1,
      yardstick: `${MAX_BYTES_PER_CELL} bytes for each cell of ${ROWS} rows × ${FEATURES} features`,
      figures: { measured, bytesPerCell, growthPerRow: growth, threads: availableParallelism() },
    }),
  );
}

const [rows] = process.argv.slice(2);
if (rows === undefined) compare();
else await measure(Number(rows));
