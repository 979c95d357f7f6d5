export { type Attribute, attributeOf, type Datatype, type Dimension, GraphBuilder, ML_DOMAIN } from "./graph.ts";
export { liftHalfPrecision } from "./halfPrecision.ts";
export { type ModelWithGraph, modelBytes, parseModel } from "./model.ts";
export {
  MIN_WEIGHTS,
  type Quantized,
  type QuantizedLayer,
  type QuantizeOptions,
  quantizeDense,
  type SeenLayer,
  type SkippedLayer,
} from "./quantize.ts";
export { renameValue } from "./renameValue.ts";
export { openSession, type SessionOptions } from "./session.ts";
export { type ModelSignature, readSignature, type TensorSignature } from "./signature.ts";
