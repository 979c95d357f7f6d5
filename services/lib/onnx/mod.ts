export { type Attribute, type Datatype, type Dimension, GraphBuilder, ML_DOMAIN } from "./graph.ts";
export { liftHalfPrecision } from "./halfPrecision.ts";
export { openSession, type SessionOptions } from "./session.ts";
export { type ModelSignature, readSignature, type TensorSignature } from "./signature.ts";
