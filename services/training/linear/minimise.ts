/** A function to make smaller, with its gradient at the same place. */
export type Evaluated = { readonly value: number; readonly gradient: Float64Array };

export interface MinimiseOptions {
  readonly maxIterations: number;
  /** Ends once no part of the gradient is larger. */
  readonly tolerance?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Pairs of steps and changes of the gradient that the next direction is made of. */
const MEMORY = 10;
/** Of a step: the value has to fall by at least this share of what the slope promises (Armijo's rule). */
const SUFFICIENT = 1e-4;
const MAX_HALVINGS = 40;

/**
 * Makes a smooth convex function smaller by L-BFGS with halved steps (Liu and Nocedal, 1989; Nocedal and Wright, Numerical Optimization,
 * algorithm 7.4). Nothing is random.
 *
 * @throws the signal's reason when cancelled
 */
export function minimise(
  evaluate: (at: Float64Array) => Evaluated,
  start: Float64Array,
  { maxIterations, tolerance = 1e-7, signal }: MinimiseOptions,
): Float64Array {
  let at = start;
  let now = evaluate(at);
  const pairs: Pair[] = [];
  for (let iteration = 0; iteration < maxIterations; iteration += 1) {
    signal?.throwIfAborted();
    if (now.gradient.every((slope) => Math.abs(slope) <= tolerance)) break;
    const direction = descentDirection(now.gradient, pairs);
    const slope = dot(direction, now.gradient);
    if (!(slope < 0)) break;
    let length = pairs.length === 0 ? Math.min(1, 1 / Math.hypot(...now.gradient)) : 1;
    let next: Evaluated | undefined;
    let place = at;
    for (let halving = 0; halving < MAX_HALVINGS; halving += 1) {
      const step = length;
      place = at.map((value, index) => value + step * (direction[index] as number));
      const tried = evaluate(place);
      if (tried.value <= now.value + SUFFICIENT * length * slope) {
        next = tried;
        break;
      }
      length /= 2;
    }
    if (next === undefined) break;
    remember(pairs, difference(place, at), difference(next.gradient, now.gradient));
    [at, now] = [place, next];
  }
  return at;
}

interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  /** 1 / (step · change). */
  readonly rho: number;
}

function remember(pairs: Pair[], step: Float64Array, change: Float64Array): void {
  const curvature = dot(step, change);
  if (!(curvature > 1e-12)) return;
  pairs.push({ step, change, rho: 1 / curvature });
  if (pairs.length > MEMORY) pairs.shift();
}

/** The two-loop recursion: minus the gradient times an estimate of the inverse Hessian. */
function descentDirection(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const direction = gradient.map((slope) => -slope);
  const shares: number[] = [];
  for (const { step, change, rho } of pairs.toReversed()) {
    const share = rho * dot(step, direction);
    shares.push(share);
    addTimes(direction, change, -share);
  }
  const newest = pairs.at(-1);
  if (newest !== undefined) {
    const scale = 1 / (newest.rho * dot(newest.change, newest.change));
    for (let index = 0; index < direction.length; index += 1) direction[index] = (direction[index] as number) * scale;
  }
  for (const { step, change, rho } of pairs) {
    addTimes(direction, step, (shares.pop() as number) - rho * dot(change, direction));
  }
  return direction;
}

function dot(left: Float64Array, right: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index += 1) sum += (left[index] as number) * (right[index] as number);
  return sum;
}

function addTimes(to: Float64Array, what: Float64Array, factor: number): void {
  for (let index = 0; index < to.length; index += 1)
    to[index] = (to[index] as number) + factor * (what[index] as number);
}

const difference = (left: Float64Array, right: Float64Array): Float64Array =>
  left.map((value, index) => value - (right[index] as number));
