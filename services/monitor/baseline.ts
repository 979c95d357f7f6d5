import { type WindowCounts, WindowVariation } from "./statistics/windowVariation.ts";

export interface BaselineWindow extends WindowCounts {
  readonly fromMs: number;
}

/** What a window of one subject is compared with. */
export interface Usual {
  /** Share of the present rows per bin. */
  readonly shares: readonly number[];
  readonly missing: number;
  /** How much windows differ when nothing is wrong; undefined where the reference does not tell. */
  readonly variation: WindowVariation | undefined;
}

/**
 * The reference of one subject: all of it, or only its windows of the same place in a season (the same hours of other days, say), when there are
 * enough of them to tell how much such windows differ.
 */
export class Baseline {
  readonly #whole: { readonly shares: readonly number[]; readonly missing: number };
  readonly #windows: readonly BaselineWindow[];
  readonly #known = new Map<number, Usual>();

  constructor(
    whole: { readonly shares: readonly number[]; readonly missing: number },
    windows: readonly BaselineWindow[],
  ) {
    this.#whole = whole;
    this.#windows = windows.filter(({ counts }) => counts.length === whole.shares.length);
  }

  /** @param seasonMs length of a season; 0 for none */
  usual(fromMs: number, seasonMs: number): Usual {
    const place = seasonMs === 0 ? -1 : fromMs % seasonMs;
    let usual = this.#known.get(place);
    if (usual === undefined) {
      usual = (place >= 0 ? this.#ofSeason(place, seasonMs) : undefined) ?? this.#ofAll();
      this.#known.set(place, usual);
    }
    return usual;
  }

  #ofAll(): Usual {
    const { shares, missing } = this.#whole;
    return { shares, missing, variation: WindowVariation.of(this.#windows) };
  }

  #ofSeason(place: number, seasonMs: number): Usual | undefined {
    const windows = this.#windows.filter(({ fromMs }) => fromMs % seasonMs === place);
    const variation = WindowVariation.of(windows);
    if (variation === undefined) return undefined;
    const sums = new Float64Array(this.#whole.shares.length);
    let missing = 0;
    for (const window of windows) {
      missing += window.missing;
      for (let bin = 0; bin < sums.length; bin += 1) sums[bin] = (sums[bin] as number) + (window.counts[bin] as number);
    }
    const present = sums.reduce((sum, count) => sum + count, 0);
    return { shares: Array.from(sums, (sum) => sum / present), missing: missing / (present + missing), variation };
  }
}
