import type { GraphBuilder } from "@millrace/onnx";
import type { LinearModel } from "../linear/linearModel.ts";

/** Adds imputation, scaling and the linear model. Returns the scores' name. */
export function addLinear(graph: GraphBuilder, columns: string, model: LinearModel): string {
  const width = model.means.length;
  const outputs = model.weights.length;
  const means = graph.constant(model.means, [width]);
  const imputed = graph.node("Where", [graph.node("IsNaN", [columns]), means, columns]);
  const centred = graph.node("Sub", [imputed, means]);
  const scaled = graph.node("Div", [centred, graph.constant(model.deviations, [width])]);
  // Row after row: the weights of a feature for each output.
  const weights = Array.from(model.means, (_, feature) => model.weights.map((of) => of[feature] as number)).flat();
  const product = graph.node("MatMul", [scaled, graph.constant(weights, [width, outputs])]);
  return graph.node("Add", [product, graph.constant(model.intercepts, [1, outputs])]);
}
