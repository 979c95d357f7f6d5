import { GraphBuilder } from "@millrace/onnx";
import type { CategoryCodes } from "../categories.ts";
import type { Head } from "../head.ts";
import { addCategories } from "./categories.ts";
import { addHead } from "./head.ts";
import { INPUT } from "./onnx.ts";

/** A fitted model as a part of a graph. */
export interface ExportedModel {
  /** `gbdt`, `linear` …: the graph's name. */
  readonly name: string;
  readonly featureNames: readonly string[];
  /** Of the columns that the model takes; raw ones where none. */
  readonly codes: CategoryCodes;
  /** Adds the nodes from columns, float32 [rows, features], to scores, float32 [rows, outputs]. Returns the scores' name. */
  readonly addScores: (graph: GraphBuilder, columns: string) => string;
}

/** Preprocessing, model, calibration and intervals as one ONNX graph. */
export function toOnnx({ name, featureNames, codes, addScores }: ExportedModel, head: Head): Uint8Array {
  const graph = new GraphBuilder(name);
  const input = graph.input(INPUT, ["rows", featureNames.length]);
  const columns = addCategories(graph, input, codes, featureNames.length);
  addHead(graph, addScores(graph, columns), head);
  return graph.toBytes({ "millrace.features": JSON.stringify(featureNames) });
}
