import type { GraphBuilder } from "@millrace/onnx";
import type { Head } from "../head.ts";
import { addCalibration } from "./calibration.ts";
import { CLASS_OUTPUT, LOWER_OUTPUT, OUTPUT, SET_OUTPUT, UPPER_OUTPUT, VALUE_OUTPUT } from "./onnx.ts";

/** Adds the nodes that turn scores, float32 [rows, outputs], into the task's answers, and declares them as the graph's outputs. */
export function addHead(graph: GraphBuilder, scores: string, head: Head): void {
  switch (head.kind) {
    case "binary":
      addCalibration(graph, scores, head.calibration, OUTPUT);
      graph.output(OUTPUT, ["rows", 1]);
      return;
    case "multiclass":
      addClasses(graph, scores, head);
      return;
    case "regression": {
      const scaled = graph.node("Mul", [scores, graph.constant([head.scale], [1])]);
      graph.node("Add", [scaled, graph.constant([head.center], [1])], {}, { output: VALUE_OUTPUT });
      graph.node("Add", [VALUE_OUTPUT, graph.constant([head.below], [1])], {}, { output: LOWER_OUTPUT });
      graph.node("Add", [VALUE_OUTPUT, graph.constant([head.above], [1])], {}, { output: UPPER_OUTPUT });
      for (const output of [VALUE_OUTPUT, LOWER_OUTPUT, UPPER_OUTPUT]) graph.output(output, ["rows", 1]);
    }
  }
}

/** The set holds every class with the threshold, and always the most probable one. */
function addClasses(graph: GraphBuilder, scores: string, head: Head & { kind: "multiclass" }): void {
  const { slopes, intercepts } = head.calibration;
  const scaled = graph.node("Mul", [scores, graph.constant(slopes, [1, slopes.length])]);
  const shifted = graph.node("Add", [scaled, graph.constant(intercepts, [1, slopes.length])]);
  graph.node("Softmax", [shifted], { axis: 1n }, { output: CLASS_OUTPUT });
  const largest = graph.node("ReduceMax", [CLASS_OUTPUT], { axes: { ints: [1] }, keepdims: 1n });
  const least = graph.node("Min", [largest, graph.constant([head.threshold], [1])]);
  graph.node("GreaterOrEqual", [CLASS_OUTPUT, least], {}, { output: SET_OUTPUT });
  graph.output(CLASS_OUTPUT, ["rows", slopes.length]);
  graph.output(SET_OUTPUT, ["rows", slopes.length], "BOOL");
}
