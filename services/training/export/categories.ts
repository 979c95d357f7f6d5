import { type GraphBuilder, ML_DOMAIN } from "@millrace/onnx";
import type { CategoryCodes } from "../categories.ts";

/**
 * Adds the nodes that put a code in the place of each category; a category that training did not see becomes a missing value. Returns the
 * name of the columns, float32 [rows, features].
 */
export function addCategories(graph: GraphBuilder, input: string, codes: CategoryCodes, features: number): string {
  if (codes.length === 0) return input;
  const pieces: string[] = [];
  let next = 0;
  const copyUpTo = (end: number): void => {
    if (end === next) return;
    const columns = Array.from({ length: end - next }, (_, index) => next + index);
    pieces.push(graph.node("Gather", [input, graph.indexes(columns)], { axis: 1n }));
  };
  for (const { feature, values, codes: of } of codes) {
    copyUpTo(feature);
    pieces.push(addLookUp(graph, input, feature, values, of, Number.NaN));
    next = feature + 1;
  }
  copyUpTo(features);
  return pieces.length === 1 ? (pieces[0] as string) : graph.node("Concat", pieces, { axis: 1n });
}

/** One column, float32 [rows, 1], with another number for each of its values, and `otherwise` for all others. */
export function addLookUp(
  graph: GraphBuilder,
  input: string,
  feature: number,
  keys: Float64Array,
  values: Float64Array,
  otherwise: number,
): string {
  const column = graph.node("Gather", [input, graph.indexes([feature])], { axis: 1n });
  // A table must not be empty; a missing value equals no key.
  const [keysFloats, valuesFloats] = keys.length === 0 ? [[0], [otherwise]] : [keys, values];
  const attributes = {
    keys_floats: { floats: keysFloats },
    values_floats: { floats: valuesFloats },
    default_float: otherwise,
  };
  return graph.node("LabelEncoder", [column], attributes, { domain: ML_DOMAIN });
}
