import { durationToMs } from "@millrace/app";
import { Aggregate, type App, type Feature } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Plain, randomNumbers } from "./appForTests.ts";

/** An event of the tests, in plain values. */
export interface PlainEvent {
  readonly type: string;
  readonly occurredAtMs: number;
  readonly knownAtMs: number;
  readonly plain: Plain;
}

type Measure = number | string | bigint | boolean | undefined;

/** The expressions of the tests' app, once more in plain code. */
const EXPRESSIONS: Readonly<Record<string, (plain: Plain) => Measure>> = {
  "event.weight": ({ weight }) => weight as number | undefined,
  "event.pieces": ({ pieces }) => pieces as bigint | undefined,
  "event.fragile": ({ fragile }) => fragile as boolean | undefined,
  "event.late": ({ late }) => late as boolean | undefined,
  "event.target": ({ target }) => target as string | undefined,
  "event.due": ({ due }) => (due as Date | undefined)?.getTime(),
  "event.weight > 5.0": ({ weight }) => (weight === undefined ? undefined : (weight as number) > 5),
};

/** Features straight from their definition: every event looked at for every read, and sums in whole numbers of any length. */
export function referenceVector(
  app: App,
  events: readonly PlainEvent[],
  asOfMs: number,
  request: Plain,
): Record<string, number> {
  const vector: Record<string, number> = {};
  for (const [name, feature] of Object.entries(app.features)) {
    if (feature.atRequest === "request.weight") vector[name] = Number(request["weight"] ?? Number.NaN);
    else if (feature.atRequest !== "") vector[name] = new Date(asOfMs).getUTCSeconds();
    else vector[name] = windowed(app, feature, events, asOfMs, request);
  }
  return vector;
}

function windowed(app: App, feature: Feature, events: readonly PlainEvent[], asOfMs: number, request: Plain): number {
  const key = app.entities[feature.entity]?.key ?? [];
  if (key.some((name) => request[name] === undefined)) return Number.NaN;
  const tileMs = durationToMs(feature.tile) as number;
  const windowMs = durationToMs(feature.window) as number;
  const endMs = Math.floor(asOfMs / tileMs) * tileMs;
  const counted: { value: Measure; occurredAtMs: number }[] = [];
  for (const { type, plain, occurredAtMs, knownAtMs } of events) {
    if (type !== feature.on || occurredAtMs < endMs - windowMs || occurredAtMs >= endMs || knownAtMs >= endMs) continue;
    if (key.some((name) => plain[name] !== request[name])) continue;
    if (feature.where !== "" && EXPRESSIONS[feature.where]?.(plain) !== true) continue;
    const value = feature.value === "" ? 1 : EXPRESSIONS[feature.value]?.(plain);
    if (value !== undefined) counted.push({ value, occurredAtMs });
  }
  return aggregate(feature.aggregate, counted);
}

/** Values are multiples of 2^-110 here, so that in these units they are whole. */
const UNIT = 2 ** 110;

function aggregate(kind: Aggregate, counted: readonly { value: Measure; occurredAtMs: number }[]): number {
  const count = counted.length;
  if (kind === Aggregate.COUNT) return count;
  if (kind === Aggregate.DISTINCT) return new Set(counted.map(({ value }) => value)).size;
  const numbers = counted.map(({ value }) => Number(value));
  const units = numbers.map((value) => BigInt(value * UNIT));
  const sum = units.reduce((total, value) => total + value, 0n);
  if (kind === Aggregate.SUM) return Number(sum) / UNIT;
  if (count === 0) return Number.NaN;
  switch (kind) {
    case Aggregate.MEAN:
      return Number(sum) / UNIT / count;
    case Aggregate.MIN:
      return Math.min(...numbers);
    case Aggregate.MAX:
      return Math.max(...numbers);
    case Aggregate.LAST: {
      const latest = Math.max(...counted.map(({ occurredAtMs }) => occurredAtMs));
      return Math.max(...numbers.filter((_, index) => counted[index]?.occurredAtMs === latest));
    }
    default: {
      if (count < 2) return Number.NaN;
      const squares = units.reduce((total, value) => total + value * value, 0n);
      const spread = Number(BigInt(count) * squares - sum * sum) / UNIT / UNIT;
      return Math.sqrt(spread / count / (count - 1));
    }
  }
}

export interface StreamOptions {
  readonly count: number;
  /** Events happen within so many seconds. */
  readonly seconds: number;
  /** Late events become known up to so many seconds after they happened. */
  readonly lateSeconds: number;
  readonly startMs: number;
  readonly weight: (random: () => number) => number;
}

/** A stream of events in the order in which they became known: few keys, some the same millisecond, some late, some values missing. */
export function randomStream(seed: number, options: StreamOptions): PlainEvent[] {
  const { count, seconds, lateSeconds, startMs, weight } = options;
  const random = randomNumbers(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const events: PlainEvent[] = [];
  while (events.length < count) {
    const before = events.at(-1);
    const occurredAtMs =
      before !== undefined && random() < 0.1 ? before.occurredAtMs : startMs + Math.floor(random() * seconds * 1_000);
    const knownAtMs = occurredAtMs + (random() < 0.3 ? Math.floor(random() * lateSeconds * 1_000) : 0);
    const depot = pick(["north", "söuth", ""]);
    if (random() < 0.2) {
      events.push({ type: "parcel.lost", occurredAtMs, knownAtMs, plain: { depot, late: random() < 0.5 } });
      continue;
    }
    const all: Plain = {
      target: pick(["x", "y.z"]),
      weight: weight(random),
      pieces: BigInt(Math.floor(random() * 9)) - 4n,
      fragile: random() < 0.2,
      due: new Date(occurredAtMs + Math.floor(random() * 5)),
    };
    const plain = Object.fromEntries(Object.entries(all).filter(() => random() < 0.85));
    events.push({ type: "parcel.sent", occurredAtMs, knownAtMs, plain: { ...plain, depot } });
  }
  return events.sort((left, right) => left.knownAtMs - right.knownAtMs);
}
