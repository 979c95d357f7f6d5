import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Feature } from "@millrace/proto/millrace/app/v1/app_pb.ts";

const DAY_SECONDS = 86_400;

/** Tiles per window when the app does not say. */
const DEFAULT_TILES = 72;

/** A duration in milliseconds; undefined when it is absent. */
export const durationToMs = (duration: Duration | undefined): number | undefined =>
  duration === undefined ? undefined : Number(duration.seconds) * 1_000 + Math.round(duration.nanos / 1_000_000);

/** Length of a windowed feature's window, in milliseconds. */
export const windowLengthMs = (feature: Feature): number => durationToMs(feature.window) ?? 0;

/**
 * Length of a windowed feature's tile, in milliseconds. When the app does not say: the longest that divides both the window and a
 * day, and of which the window has 72 or more; at least a second.
 */
export function tileLengthMs(feature: Feature): number {
  const given = durationToMs(feature.tile);
  if (given !== undefined) return given;
  const windowSeconds = windowLengthMs(feature) / 1_000;
  for (let seconds = Math.floor(windowSeconds / DEFAULT_TILES); seconds > 1; seconds -= 1) {
    if (DAY_SECONDS % seconds === 0 && windowSeconds % seconds === 0) return seconds * 1_000;
  }
  return 1_000;
}
