import type { Measurement } from "./judgement.ts";
import { heldP } from "./statistics/significance.ts";

/** What one window showed of one watched thing. */
export interface Reading {
  readonly fromMs: number;
  readonly value: number;
  readonly limit: number;
  readonly pValue: number;
}

/** The last readings of everything watched, by name, oldest first. Plain data. */
export type Readings = Readonly<Record<string, readonly Reading[]>>;

/** How long something has to hold. */
export interface Hold {
  readonly hold: number;
  readonly holdOf: number;
}

/** An alert is over when its effect is below this part of the limit, or as likely as this by chance: not at the line where it began. */
const RELEASED = { partOfLimit: 0.8, pValue: 0.1 } as const;

export const nameOf = ({ monitor, subject, statistic }: Measurement): string => `${monitor}/${subject}/${statistic}`;

/** The readings with those of one more window, and none older than is needed. */
export function remember(
  before: Readings,
  measured: readonly Measurement[],
  window: Hold & { fromMs: number },
): Readings {
  const after: Record<string, readonly Reading[]> = { ...before };
  for (const one of measured) {
    const { value, limit, pValue } = one;
    const reading = { fromMs: window.fromMs, value, limit, pValue };
    after[nameOf(one)] = [...(before[nameOf(one)] ?? []), reading].slice(-window.holdOf);
  }
  return after;
}

/** Whether the effect was over its limit in `hold` of the last `holdOf` windows. */
export function isHeld(readings: readonly Reading[] = [], { hold }: Hold): boolean {
  return readings.filter(({ value, limit }) => value > limit).length >= hold;
}

/** How likely that many windows as unusual as these are by chance. */
export const heldPValue = (readings: readonly Reading[] = [], { hold }: Hold): number =>
  heldP(
    readings.map(({ pValue }) => pValue),
    hold,
  );

/** Whether a window still shows it. */
export const isElevated = ({ value, limit, pValue }: Pick<Reading, "value" | "limit" | "pValue">): boolean =>
  value > limit * RELEASED.partOfLimit && pValue <= RELEASED.pValue;
