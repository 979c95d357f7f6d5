export {
  areaUnderRoc,
  type BinaryMetrics,
  binaryMetrics,
  brierScore,
  expectedCalibrationError,
  logLoss,
  mean,
} from "./binaryMetrics.ts";
export { populationStability } from "./populationStability.ts";
export { randomNumbers, shuffled } from "./randomNumbers.ts";
