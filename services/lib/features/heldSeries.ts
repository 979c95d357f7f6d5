import type { Plan, SeriesPlan } from "./plan.ts";

/** A series whose tiles an engine does not have as far back as the app's windows reach. */
export interface MissingSeries {
  /** Names the series. */
  readonly hash: bigint;
  readonly entity: string;
  /** The event type that it aggregates. */
  readonly on: string;
  /** The features that are not right yet. */
  readonly features: readonly string[];
}

/** What two engines hold whole, by the names of what each holds. */
export function commonDefinitions(one: string, other: string): string {
  const tiles = new Map(parse(other));
  return format(
    parse(one).flatMap(([hash, longest]) => {
      const also = tiles.get(hash);
      return also === undefined ? [] : [[hash, Math.min(longest, also)]];
    }),
  );
}

/** Hashes of the series that one engine holds whole, and the other does not, or not for windows as long. */
export function seriesBeyond(one: string, other: string): Set<bigint> {
  const tiles = new Map(parse(other));
  return new Set(parse(one).flatMap(([hash, longest]) => ((tiles.get(hash) ?? 0) < longest ? [hash] : [])));
}

function parse(names: string): [hash: bigint, tiles: number][] {
  return (names === "" ? [] : names.split(" ")).flatMap((name) => {
    const [hash = "", longest = ""] = name.split("/");
    if (!/^[0-9a-f]{1,16}$/.test(hash) || !/^\d{1,9}$/.test(longest)) return [];
    return [[BigInt(`0x${hash}`), Number(longest)]];
  });
}

const format = (tiles: Iterable<[hash: bigint, tiles: number]>): string =>
  [...tiles]
    .map(([hash, longest]) => `${hash.toString(16)}/${longest}`)
    .sort()
    .join(" ");

/**
 * Which series an engine holds whole, and for windows of how many tiles. An engine that begins with the stream holds all of its own; one
 * that goes on from a checkpoint holds those that the checkpoint held.
 */
export class HeldSeries {
  readonly #plan: Plan;
  /** By series, the tiles of the longest window for which it is whole. */
  readonly #tiles: Map<bigint, number>;

  private constructor(plan: Plan, tiles: Map<bigint, number>) {
    this.#plan = plan;
    this.#tiles = tiles;
  }

  /** All that a plan needs. */
  static all(plan: Plan): HeldSeries {
    return HeldSeries.named(plan, plan.definitions);
  }

  /** Of what a plan needs, what `names` says, as `names` of another one gave it. */
  static named(plan: Plan, names: string): HeldSeries {
    const tiles = new Map<bigint, number>();
    const needed = new Map(allSeries(plan).map(({ hash, longestWindow }) => [hash, longestWindow]));
    for (const [hash, longest] of parse(names)) {
      const most = needed.get(hash);
      // What is older than this plan needs is dropped from now on.
      if (most !== undefined) tiles.set(hash, Math.min(most, longest));
    }
    return new HeldSeries(plan, tiles);
  }

  /** The plan's `definitions` when all is there. */
  get names(): string {
    return format(this.#tiles);
  }

  /** What is not there, or not as far back as it is needed. */
  get missing(): MissingSeries[] {
    return allSeries(this.#plan)
      .filter((series) => !this.covers(series))
      .map(({ hash, entity, on }) => ({ hash, entity, on, features: this.#featuresOf(hash) }));
  }

  /** Whether a series is whole for the windows of a plan. */
  covers({ hash, longestWindow }: SeriesPlan): boolean {
    return (this.#tiles.get(hash) ?? 0) >= longestWindow;
  }

  /** From now on a series is whole. */
  add({ hash, longestWindow }: SeriesPlan): void {
    this.#tiles.set(hash, longestWindow);
  }

  #featuresOf(hash: bigint): string[] {
    const held = this.#tiles.get(hash) ?? 0;
    return this.#plan.names.filter((_, index) => {
      const feature = this.#plan.features[index];
      return feature?.kind === "window" && feature.series.hash === hash && feature.tiles > held;
    });
  }
}

const allSeries = (plan: Plan): SeriesPlan[] => plan.entities.flatMap(({ series }) => series);
