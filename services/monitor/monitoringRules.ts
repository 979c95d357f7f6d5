import { compileRequestExpression, durationToMs, monitoredWindowMs } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { featureSources } from "./featureSources.ts";

/** What an app wants watched; from `monitoring` in its file, with defaults. Durations in milliseconds of event time. */
export interface MonitoringRules {
  readonly app: string;
  readonly windowMs: number;
  /** A window is judged once the event time has passed its end by this. */
  readonly latenessMs: number;
  /** How long its truth is waited for. */
  readonly labelWaitMs: number;
  readonly minRows: number;
  readonly maxPsi: number;
  readonly maxLogLossIncrease: number;
  readonly maxFallbackShare: number;
  /** An alert opens when something has held for `hold` of the last `holdOf` windows; and resolves after `hold` quiet ones. */
  readonly hold: number;
  readonly holdOf: number;
  /** Windows are compared with those of the same place in a season, such as the same hours of other days; 0: with all. */
  readonly seasonMs: number;
  /**
   * Inputs that are functions of the request's time alone. They say what time it is, not how the world is: over a window shorter
   * than their cycle they always differ from the training set, by design. They are shown, and raise no alert.
   */
  readonly timeOnly: ReadonlySet<string>;
  /** The fields of events that each input is made from, what it reads itself first: `flight.landed.delay`. */
  readonly sources: ReadonlyMap<string, readonly string[]>;
}

export function monitoringRules(app: App): MonitoringRules {
  const { monitoring } = app;
  const windowMs = monitoredWindowMs(app);
  const timeOnly = Object.entries(app.features)
    .filter(([, { atRequest }]) => atRequest !== "" && compileRequestExpression(app, atRequest).reads.length === 0)
    .map(([name]) => name);
  const hold = monitoring?.hold || 2;
  return {
    app: app.app,
    windowMs,
    latenessMs: Math.ceil(windowMs / 24),
    labelWaitMs: durationToMs(app.label?.wait) ?? 0,
    minRows: monitoring?.minRows || 500,
    maxPsi: monitoring?.maxPsi ?? 0.25,
    maxLogLossIncrease: monitoring?.maxLogLossIncrease ?? 0.05,
    maxFallbackShare: monitoring?.maxFallbackShare ?? 0.05,
    hold,
    holdOf: Math.max(monitoring?.holdOf || hold, hold),
    seasonMs: durationToMs(monitoring?.season) ?? 0,
    timeOnly: new Set(timeOnly),
    sources: featureSources(app),
  };
}
