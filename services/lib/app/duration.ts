/** Lengths of the units that the app file knows, in milliseconds. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

const PART = /(\d+(?:\.\d+)?)(ms|[smhdw])/y;

/** Reads `6h`, `50ms`, `7d`, `1h30m`; undefined when the text is no duration of whole milliseconds. */
export function parseDurationMs(text: string): number | undefined {
  const trimmed = text.trim();
  let total = 0;
  let position = 0;
  while (position < trimmed.length) {
    PART.lastIndex = position;
    const match = PART.exec(trimmed);
    if (match === null) return undefined;
    total += Number(match[1]) * (UNIT_MS[match[2] as string] as number);
    position = PART.lastIndex;
  }
  const whole = Math.round(total);
  return trimmed.length > 0 && Math.abs(whole - total) < 1e-6 && Number.isSafeInteger(whole) ? whole : undefined;
}

/** Writes milliseconds with the largest unit that gives a whole number: `6h`, `90s`. */
export function formatDuration(milliseconds: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    const length = UNIT_MS[unit] as number;
    if (milliseconds !== 0 && milliseconds % length === 0) return `${milliseconds / length}${unit}`;
  }
  return `${milliseconds}ms`;
}

/** Milliseconds as protojson writes a google.protobuf.Duration: `21600s`, `0.050s`. */
export function durationJson(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1_000);
  const rest = milliseconds - seconds * 1_000;
  return rest === 0 ? `${seconds}s` : `${seconds}.${String(rest).padStart(3, "0")}s`;
}
