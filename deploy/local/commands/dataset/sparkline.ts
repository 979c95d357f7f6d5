const LEVELS = "▁▂▃▄▅▆▇█";

/** Values as bars of eight heights, from `low` to `high`; a space where there is none. */
export function sparkline(values: readonly number[], low: number, high: number): string {
  return values
    .map((value) => {
      if (Number.isNaN(value)) return " ";
      const share = high > low ? (value - low) / (high - low) : 1;
      return LEVELS[Math.max(0, Math.min(LEVELS.length - 1, Math.floor(share * LEVELS.length)))];
    })
    .join("");
}
