/**
 * The shape that texts share, as a pattern: `ATL` and `JFK` are `^[A-Z]{3}$`.
 *
 * A text is cut into runs in two ways: finely, where a run is upper-case letters, lower-case letters, digits, or one other character; and
 * coarsely, where letters and digits that follow one another are one run. Texts have a shape in common while their runs are of the same
 * kinds in the same order; of each run the shortest and the longest are kept, so that every text that was added matches the pattern.
 */
export class TextShape {
  #fine: Run[] | undefined;
  #coarse: Run[] | undefined;
  #texts = 0;
  #example: string | undefined;

  /** One of the texts, unless they have no shape in common. */
  get example(): string | undefined {
    return this.#fine === undefined && this.#coarse === undefined ? undefined : this.#example;
  }

  add(text: string): void {
    this.#texts += 1;
    this.#example ??= text;
    this.#fine = this.#merged(this.#fine, text, true);
    this.#coarse = this.#merged(this.#coarse, text, false);
  }

  #merged(before: Run[] | undefined, text: string, fine: boolean): Run[] | undefined {
    if (before === undefined && this.#texts > 1) return undefined;
    const runs = runsOf(text, fine);
    if (before === undefined || runs === undefined) return runs;
    return merge(before, runs, fine) ? before : undefined;
  }

  /**
   * The pattern in RE2 syntax; undefined when there is too little in common for one that the next text would match too:
   *
   * - Runs of one length keep it. Else a run has 1 to 4, 8, 16 … characters. Where nearly every text is different, digits at the end
   *   that are not filled up with zeros count something, and may become more.
   * - A fine shape needs digits, or runs of one length each. Lower-case letters alone are words, unless there are 20 different ones.
   * - A coarse shape needs runs of one length each, and 5 different texts with digits or 20 without.
   * - Fewer than 20 texts have none, nor have texts with spaces or with letters beyond A to Z.
   *
   * @param distinct how many different texts there were
   */
  pattern(distinct: number): string | undefined {
    if (this.#texts < FEWEST_TEXTS) return undefined;
    if (this.#fine !== undefined) return finePattern(this.#fine, distinct, distinct >= 0.9 * this.#texts);
    if (this.#coarse !== undefined) return coarsePattern(this.#coarse, distinct);
    return undefined;
  }
}

const FEWEST_TEXTS = 20;
const MANY_DIFFERENT = 20;
const SOME_DIFFERENT = 5;

/** Texts that are longer, or have more runs, have no shape. */
const LONGEST_TEXT = 128;
const MOST_RUNS = 24;

const UPPER = 1;
const LOWER = 2;
const DIGIT = 4;
/** A lower-case letter after f, which no hexadecimal number has. */
const BEYOND_HEX = 8;
const KINDS = UPPER | LOWER | DIGIT;

interface Run {
  /** Of its letters and digits; 0 for another character. */
  classes: number;
  /** That character. */
  readonly literal: string;
  min: number;
  max: number;
  /** Some text had several digits here of which the first was 0. */
  padded: boolean;
}

function runsOf(text: string, fine: boolean): Run[] | undefined {
  if (text.length === 0 || text.length > LONGEST_TEXT) return undefined;
  const runs: Run[] = [];
  let last: Run | undefined;
  let firstOfRun = "";
  for (const character of text) {
    const classes = classesOf(character);
    if (classes === undefined) return undefined;
    const literal = classes === 0 ? character : "";
    if (last !== undefined && continues(last, classes, literal, fine)) {
      last.classes |= classes;
      last.min += 1;
      last.max += 1;
      last.padded = firstOfRun === "0";
    } else {
      if (runs.length === MOST_RUNS) return undefined;
      last = { classes, literal, min: 1, max: 1, padded: false };
      firstOfRun = character;
      runs.push(last);
    }
  }
  return runs;
}

/** Undefined for what no shape has: spaces, control characters, and all beyond ASCII. */
function classesOf(character: string): number | undefined {
  if (character >= "A" && character <= "Z") return UPPER;
  if (character >= "a" && character <= "z") return character > "f" ? LOWER | BEYOND_HEX : LOWER;
  if (character >= "0" && character <= "9") return DIGIT;
  return character > " " && character <= "~" ? 0 : undefined;
}

function continues(run: Run, classes: number, literal: string, fine: boolean): boolean {
  if (run.classes === 0 || classes === 0) return run.literal === literal && run.classes === classes;
  return !fine || (run.classes & KINDS) === (classes & KINDS);
}

/** Widens the runs by those of another text; false when they are of other kinds. */
function merge(runs: Run[], others: readonly Run[], fine: boolean): boolean {
  if (runs.length !== others.length) return false;
  for (const [index, run] of runs.entries()) {
    const other = others[index] as Run;
    if (!continues(run, other.classes, other.literal, fine)) return false;
    run.classes |= other.classes;
    run.min = Math.min(run.min, other.min);
    run.max = Math.max(run.max, other.max);
    run.padded ||= other.padded;
  }
  return true;
}

function finePattern(runs: readonly Run[], distinct: number, nearlyUnique: boolean): string | undefined {
  const hasDigits = runs.some(({ classes }) => classes === DIGIT);
  const hasWords = runs.some(({ classes }) => (classes & LOWER) !== 0);
  const isFixed = runs.every(({ min, max }) => min === max);
  if (!hasDigits && (!isFixed || (hasWords && distinct < MANY_DIFFERENT))) return undefined;
  const last = runs.at(-1);
  return patternOf(runs, (run) => {
    if (run === last && nearlyUnique && run.classes === DIGIT && !run.padded) return `{1,${roundLength(run.max + 1)}}`;
    return times(run);
  });
}

function coarsePattern(runs: readonly Run[], distinct: number): string | undefined {
  const hasDigits = runs.some(({ classes }) => (classes & DIGIT) !== 0);
  if (runs.some(({ min, max }) => min !== max)) return undefined;
  return distinct >= (hasDigits ? SOME_DIFFERENT : MANY_DIFFERENT) ? patternOf(runs, times) : undefined;
}

const patternOf = (runs: readonly Run[], timesOf: (run: Run) => string): string =>
  `^${runs.map((run) => characterOf(run) + timesOf(run)).join("")}$`;

function characterOf({ classes, literal, min }: Run): string {
  if (classes === 0) return /[.*+?()[\]{}|^$\\]/.test(literal) ? `\\${literal}` : literal;
  if (classes === (LOWER | DIGIT) && min >= 4) return "[0-9a-f]";
  const ranges = [
    [UPPER, "A-Z"],
    [LOWER, "a-z"],
    [DIGIT, "0-9"],
  ] as const;
  return `[${ranges.map(([kind, range]) => ((classes & kind) === 0 ? "" : range)).join("")}]`;
}

function times({ min, max }: Run): string {
  if (min !== max) return `{1,${roundLength(max)}}`;
  return max === 1 ? "" : `{${max}}`;
}

/** 4, 8, 16 and so on: the first that is no smaller. */
function roundLength(length: number): number {
  let rounded = 4;
  while (rounded < length) rounded *= 2;
  return rounded;
}
