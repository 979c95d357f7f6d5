import { randomNumbers } from "@millrace/metrics";
import { objectiveOf } from "./gbdt/objective.ts";
import { selectRows } from "./matrix.ts";
import { prepareRows } from "./prepareRows.ts";
import { BINARY } from "./task.ts";
import { fit } from "./train.ts";
import type { TrainerAlgorithm, TrainRequest } from "./trainRequest.ts";

/** What a search sees: no calibration rows, and no holdout. */
export type SearchRequest = Pick<
  TrainRequest,
  "algorithm" | "task" | "train" | "validation" | "monotone" | "seed" | "threads" | "signal"
>;

export interface SearchBudget {
  /** Sets of parameters that are tried; 0: as many as the time allows. */
  readonly trials: number;
  /** Nothing is begun after this time of `now`; Infinity: no limit. */
  readonly untilMs: number;
  readonly now?: () => number;
}

export type Parameters = Readonly<Record<string, number>>;

/** One set of parameters on some of the rows. */
export interface Trial {
  readonly algorithm: TrainerAlgorithm;
  /** 1, 2, 3 …; 1 has the built-in parameters. */
  readonly trial: number;
  /** 1 for the first, cheapest round. */
  readonly round: number;
  readonly rowShare: number;
  readonly parameters: Parameters;
  /** On the validation rows. */
  readonly loss: number;
  readonly seconds: number;
}

export interface SearchResult {
  /** What differs from the algorithm's defaults. */
  readonly parameters: Parameters;
  /** All that were tried, in their order. */
  readonly trials: readonly Trial[];
}

/** Of those in a round, one in so many reaches the next, in which there are as many times more rows. */
const REDUCTION = 3;
const ROW_SHARES = [1 / (REDUCTION * REDUCTION), 1 / REDUCTION, 1];
/** With fewer rows than this to train on, a round says nothing. */
const MIN_ROWS = 500;
/** Sets of parameters that start together when only the time is limited. */
const TOGETHER = 9;

/**
 * Looks for parameters with a smaller loss on the validation rows by successive halving (Jamieson and Talwalkar, 2016): all are tried on a
 * ninth of the rows, the better third on a third of them, and the better third of those on all. The built-in parameters are among them in
 * every round, so that the result is never worse on the validation rows than without a search. Seeded; all trials are told.
 *
 * @throws the signal's reason when cancelled
 */
export async function searchParameters(request: SearchRequest, budget: SearchBudget): Promise<SearchResult> {
  const draw = SPACES[request.algorithm];
  if (draw === undefined) return { parameters: {}, trials: [] };
  const random = randomNumbers(request.seed ?? 0);
  const trials: Trial[] = [];
  const now = budget.now ?? (() => performance.now());
  let drawn = 0;
  while (budget.trials === 0 ? now() < budget.untilMs : drawn < budget.trials) {
    const count = budget.trials === 0 ? TOGETHER : budget.trials;
    const sets = Array.from({ length: count }, (_, index) => ({
      trial: drawn + index + 1,
      parameters:
        drawn + index === 0 ? (FIXED[request.algorithm] ?? {}) : { ...FIXED[request.algorithm], ...draw(random) },
    }));
    drawn += count;
    const finished = await halve(request, sets, { ...budget, now }, trials);
    if (!finished) break;
  }
  return { parameters: bestOf(trials)?.parameters ?? {}, trials };
}

interface ParameterSet {
  readonly trial: number;
  readonly parameters: Parameters;
}

/** @returns false when the time was over before the last round */
async function halve(
  request: SearchRequest,
  sets: readonly ParameterSet[],
  { untilMs, now }: Required<SearchBudget>,
  trials: Trial[],
): Promise<boolean> {
  let left = sets;
  const shares = ROW_SHARES.filter((share) => share === 1 || share * request.train.labels.length >= MIN_ROWS);
  for (const [index, rowShare] of shares.entries()) {
    const ofRound: Trial[] = [];
    for (const set of left) {
      if (now() >= untilMs) return false;
      const trial = await tryOut(request, set, index + 1, rowShare, now);
      ofRound.push(trial);
      trials.push(trial);
    }
    const kept = Math.ceil(left.length / REDUCTION);
    const ranked = ofRound.toSorted((one, other) => one.loss - other.loss);
    left = ranked.filter(({ trial }, rank) => rank < kept || trial === 1);
  }
  return true;
}

async function tryOut(
  request: SearchRequest,
  { trial, parameters }: ParameterSet,
  round: number,
  rowShare: number,
  now: () => number,
): Promise<Trial> {
  const { algorithm, task = BINARY, train, validation } = request;
  const startMs = now();
  const rows = train.labels.length;
  const count = Math.floor(rows * rowShare);
  const chosen = Uint32Array.from({ length: count }, (_, index) => Math.floor((index * rows) / count));
  const prepared = prepareRows(
    { ...request, train: rowShare === 1 ? train : selectRows(train, chosen), validation },
    task,
  );
  const fitted = await fit({ ...request, parameters }, prepared);
  const loss = objectiveOf(task).loss(prepared.validation, fitted.score(prepared.validation.columns));
  const seconds = (now() - startMs) / 1_000;
  return { algorithm, trial, round, rowShare, parameters, loss: Number.isFinite(loss) ? loss : Infinity, seconds };
}

/** The best of the furthest round that any reached; the earlier one on a tie. */
function bestOf(trials: readonly Trial[]): Trial | undefined {
  const furthest = trials.reduce((round, trial) => Math.max(round, trial.round), 0);
  return trials
    .filter(({ round }) => round === furthest)
    .reduce<Trial | undefined>((best, next) => (best === undefined || next.loss < best.loss ? next : best), undefined);
}

/** What the search leaves alone and the defaults do not have: with a small learning rate, trees end when the validation says so. */
const FIXED: Readonly<Partial<Record<TrainerAlgorithm, Parameters>>> = { gbdt: { trees: 400 } };

const SPACES: Readonly<Partial<Record<TrainerAlgorithm, (random: () => number) => Parameters>>> = {
  gbdt: (random) => ({
    learningRate: logUniform(random, 0.03, 0.3),
    maxDepth: 3 + Math.floor(random() * 6),
    minChildWeight: logUniform(random, 0.5, 50),
    lambda: logUniform(random, 0.1, 10),
    featureShare: rounded(0.5 + random() / 2),
  }),
  logistic: (random) => ({ l2: logUniform(random, 1e-6, 1) }),
  linear: (random) => ({ l2: logUniform(random, 1e-6, 1) }),
};

const logUniform = (random: () => number, low: number, high: number): number => rounded(low * (high / low) ** random());

const rounded = (value: number): number => Number(value.toPrecision(3));
