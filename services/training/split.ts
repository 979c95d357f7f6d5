import { randomNumbers } from "@millrace/metrics";
import { MillraceError } from "@millrace/runtime";
import { BINARY, labelText, type Task } from "./task.ts";

/** Row numbers of each part, in order of time; no row is in two. */
export interface Split {
  readonly train: Uint32Array;
  /** Decides when to stop boosting. */
  readonly validation: Uint32Array;
  readonly calibration: Uint32Array;
  /** The newest rows: the gates judge by these, and nothing else sees them. */
  readonly holdout: Uint32Array;
  /** What was left out and why, for the verdict. */
  readonly notes: readonly string[];
}

export interface SplitOptions {
  /** Event time up to which labels were known, ms. */
  readonly asOfMs: number;
  /** How long labels may take, ms. */
  readonly waitMs: number;
  /** Share of the newest rows, 0 to 1. */
  readonly holdout: number;
  /** Most labelled rows used; of more, so many of all times. */
  readonly maxRows: number;
  /** Default: binary. */
  readonly task?: Task;
}

/**
 * What is older than the holdout is cut into stretches of time; of ten, one goes to the validation, one to the calibration, the others
 * to the training. One slice of two days instead would calibrate for the weather of those days: on two months of flights, retrained
 * weekly, the log loss on the holdout was up to 0.011 worse that way.
 */
const STRETCHES = 10;
const VALIDATION_STRETCH = 9;
const CALIBRATION_STRETCH = 4;
const MAX_STRETCH_MS = 6 * 3_600_000;
/** A short history has stretches of this share of it. */
const STRETCH_SHARE = 0.01;

/** Fewer rows than this in any part would decide by chance. */
const MIN_PART_ROWS = 20;

const HOUR_MS = 3_600_000;
const BIN_MS = HOUR_MS / 2;
const MIN_BIN_ROWS = 30;

/**
 * Splits labelled rows by time, never shuffled: the newest are the holdout; whole stretches of time of the older ones are for
 * validation and calibration, the others to train on.
 *
 * Rows newer than the label gap (`labelGapMs`) are left out: those of them that are labelled already are the ones whose truth
 * came early, such as short flights, and would teach and test a biased picture. As much is left out just before the holdout,
 * whose labels were not known either when the holdout began.
 *
 * @throws `failed_precondition` when too few rows remain, or a part has only one class.
 */
export function splitByTime(occurredAtMs: Float64Array, labels: Float64Array, options: SplitOptions): Split {
  const notes: string[] = [];
  const gapMs = labelGapMs(occurredAtMs, labels, options);
  const newestMs = options.asOfMs - gapMs;
  const labelled: number[] = [];
  let tooNew = 0;
  for (let row = 0; row < labels.length; row += 1) {
    if (Number.isNaN(labels[row])) continue;
    if ((occurredAtMs[row] as number) < newestMs) labelled.push(row);
    else tooNew += 1;
  }
  labelled.sort((a, b) => (occurredAtMs[a] as number) - (occurredAtMs[b] as number) || a - b);
  if (tooNew > 0) {
    notes.push(
      `${count(tooNew)} of the newest ${hours(gapMs)} were left out: most labels of that time are not known yet.`,
    );
  }
  let rows = Uint32Array.from(labelled);
  if (rows.length > options.maxRows) {
    notes.push(
      `Only ${count(options.maxRows)} of ${count(rows.length)} were used, of all times alike (TRAINING_MAX_ROWS).`,
    );
    rows = thinned(rows, options.maxRows);
  }
  const holdoutStart = rows.length - Math.floor(rows.length * options.holdout);
  const holdout = rows.subarray(holdoutStart);
  const older = purge(rows.subarray(0, holdoutStart), occurredAtMs, holdout, gapMs);
  if (older.length < holdoutStart) {
    notes.push(
      `${count(holdoutStart - older.length)} just before the holdout were left out: their labels came after it began.`,
    );
  }
  const parts = { ...byStretches(older, occurredAtMs), holdout };
  for (const [name, part] of Object.entries(parts)) checkPart(name, part, labels, rows.length, options.task ?? BINARY);
  return { ...parts, notes };
}

/**
 * How old, in ms, a row has to be for its label to be as likely known as any older row's: the older end of the newest stretch of
 * half hours in which clearly fewer labels are known than among rows older than `waitMs`. At most `waitMs`, or 12 hours when no
 * row is as old as that.
 */
export function labelGapMs(
  occurredAtMs: Float64Array,
  labels: Float64Array,
  { asOfMs, waitMs }: Pick<SplitOptions, "asOfMs" | "waitMs">,
): number {
  const bins = Array.from({ length: Math.ceil(waitMs / BIN_MS) }, () => ({ rows: 0, known: 0 }));
  const mature = { rows: 0, known: 0 };
  for (let row = 0; row < labels.length; row += 1) {
    const age = asOfMs - (occurredAtMs[row] as number);
    if (age < 0) continue;
    const bin = age >= waitMs ? mature : (bins[Math.floor(age / BIN_MS)] ?? mature);
    bin.rows += 1;
    if (!Number.isNaN(labels[row])) bin.known += 1;
  }
  if (mature.rows < MIN_BIN_ROWS) return Math.min(waitMs, 12 * HOUR_MS);
  const expected = mature.known / mature.rows;
  for (let index = bins.length - 1; index >= 0; index -= 1) {
    const { rows, known } = bins[index] as { rows: number; known: number };
    if (rows < MIN_BIN_ROWS) continue;
    const chance = 3 * Math.sqrt((expected * (1 - expected)) / rows);
    if (known / rows < expected - Math.max(0.02, chance)) return Math.min(waitMs, (index + 1) * BIN_MS);
  }
  return 0;
}

/**
 * So many of the rows, one of each stretch: how far back to look is the app's to say (`history`), and not a matter of memory. Drawn, always the
 * same, since every n-th row could be one of a kind.
 */
function thinned(rows: Uint32Array, most: number): Uint32Array<ArrayBuffer> {
  const random = randomNumbers(1);
  const beginOf = (stretch: number): number => Math.floor((stretch * rows.length) / most);
  return Uint32Array.from({ length: most }, (_, stretch) => {
    const [begin, end] = [beginOf(stretch), beginOf(stretch + 1)];
    return rows[begin + Math.floor(random() * (end - begin))] as number;
  });
}

/** Leaves out the rows within `gapMs` before the holdout, unless that would cost more than half of them. */
function purge(rows: Uint32Array, occurredAtMs: Float64Array, holdout: Uint32Array, gapMs: number): Uint32Array {
  const first = holdout[0];
  if (first === undefined) return rows;
  const borderMs = (occurredAtMs[first] as number) - gapMs;
  let end = rows.length;
  while (end > rows.length / 2 && (occurredAtMs[rows[end - 1] as number] as number) >= borderMs) end -= 1;
  return end > rows.length / 2 ? rows.subarray(0, end) : rows;
}

function byStretches(
  rows: Uint32Array,
  occurredAtMs: Float64Array,
): Pick<Split, "train" | "validation" | "calibration"> {
  const timeOf = (row: number | undefined): number => (row === undefined ? 0 : (occurredAtMs[row] as number));
  const startMs = timeOf(rows[0]);
  const stretchMs = Math.max(1, Math.min(MAX_STRETCH_MS, (timeOf(rows.at(-1)) - startMs) * STRETCH_SHARE));
  // Times 7, so that with four stretches a day each time of day comes round in every part.
  const stretchOf = (row: number): number => (Math.floor((timeOf(row) - startMs) / stretchMs) * 7) % STRETCHES;
  return {
    train: rows.filter((row) => stretchOf(row) !== VALIDATION_STRETCH && stretchOf(row) !== CALIBRATION_STRETCH),
    validation: rows.filter((row) => stretchOf(row) === VALIDATION_STRETCH),
    calibration: rows.filter((row) => stretchOf(row) === CALIBRATION_STRETCH),
  };
}

function checkPart(name: string, part: Uint32Array, labels: Float64Array, total: number, task: Task): void {
  if (part.length < MIN_PART_ROWS) {
    throw new MillraceError(
      "failed_precondition",
      `Only ${count(total)} are labelled, which leaves ${part.length} for ${name}; each part needs ${MIN_PART_ROWS}. Wait for more labels`,
    );
  }
  const first = labels[part[0] as number] as number;
  if (part.every((row) => labels[row] === first)) {
    const needs =
      task.kind === "regression" ? "there is nothing to tell apart" : `a ${task.kind} model needs more than one`;
    throw new MillraceError(
      "failed_precondition",
      `All ${count(part.length)} for ${name} have the label ${labelText(task, first)}; ${needs}. Check label.value in the app`,
    );
  }
}

const count = (rows: number): string => `${rows.toLocaleString("en-US")} row${rows === 1 ? "" : "s"}`;
const hours = (ms: number): string => `${(ms / HOUR_MS).toFixed(1)} hours`;
