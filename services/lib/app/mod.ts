export { checkCompatible } from "./compatibility.ts";
export { DEFAULT_ABSTENTION, type DecisionBand, decisionBands, NUMBERS, PROBABILITIES } from "./decisionBands.ts";
export { durationJson, formatDuration, parseDurationMs } from "./duration.ts";
export { enumName } from "./enumName.ts";
export {
  compileExpression,
  type Expression,
  type ExpressionOptions,
  type RawValue,
  type ResultType,
} from "./expression.ts";
export {
  compileDropRule,
  compileEventExpression,
  compileFeatureValue,
  compileLabel,
  compileRequestExpression,
  eventTypeOf,
} from "./expressionsOfApp.ts";
export { monitoredWindowMs } from "./monitoredWindow.ts";
export { type CompiledNoiseRule, compileNoiseRules, DROP_RULE, type NoiseTest } from "./noiseRule.ts";
export { parseApp } from "./parseApp.ts";
export { compilePattern, type PatternMatcher } from "./pattern.ts";
export { REPORTED_LABEL, REPORTED_LABEL_FIELDS } from "./reportedLabel.ts";
export { type AppliedApp, applyApp, getApp, type WatchAppsOptions, watchApps } from "./store.ts";
export { durationToMs, tileLengthMs, windowLengthMs } from "./tile.ts";
