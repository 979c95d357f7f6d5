export {
  areaUnderRoc,
  type BinaryMetrics,
  binaryMetrics,
  brierScore,
  EPSILON,
  equalMassBins,
  expectedCalibrationError,
  logLoss,
  mean,
} from "./binaryMetrics.ts";
export { binOf } from "./bins.ts";
export { type Blocks, blocksOf, drawBlocks, type Estimate, estimateOf, quantile } from "./bootstrap.ts";
export { type CurvePoints, gainCurve, precisionRecallCurve, reliabilityCurve, rocCurve } from "./curves.ts";
export { type DrawnMeasure, measureAreaUnderRoc, measureBySums } from "./measure.ts";
export { populationStability } from "./populationStability.ts";
export { randomNumbers, shuffled } from "./randomNumbers.ts";
