export {
  type DecodedCheckpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  type Position,
} from "./checkpoint.ts";
export { DistinctSketch } from "./distinctSketch.ts";
export { type EngineMemory, type EngineOptions, FeatureEngine, type KeptEntity } from "./engine.ts";
export { entityKey, type Fields, fieldText } from "./entityKey.ts";
export { EventReader, type ReadEvent } from "./eventReader.ts";
export { compileFeatures, compileMissing, type FeatureRequest, FeatureSet } from "./featureSet.ts";
export { commonDefinitions, type MissingSeries, seriesBeyond } from "./heldSeries.ts";
export { hashDouble, hashInteger, hashText } from "./valueHash.ts";
