import type { GraphBuilder } from "@millrace/onnx";
import type { Calibration } from "../calibration/calibration.ts";
import type { IsotonicCalibration } from "../calibration/isotonic.ts";

/** Adds the nodes that turn a score, float32 [rows, 1], into a probability of the same shape, called `output`. */
export function addCalibration(graph: GraphBuilder, score: string, calibration: Calibration, output: string): void {
  switch (calibration.method) {
    case "none":
      graph.node("Sigmoid", [score], {}, { output });
      return;
    case "platt": {
      const scaled = graph.node("Mul", [score, graph.constant([calibration.slope], [1])]);
      const shifted = graph.node("Add", [scaled, graph.constant([calibration.intercept], [1])]);
      graph.node("Sigmoid", [shifted], {}, { output });
      return;
    }
    case "isotonic":
      addLine(graph, score, calibration, output);
  }
}

/**
 * A line through knots as one sum: the first height, plus for each segment its slope times how far the score reaches into it.
 * No comparison decides anything, so a score that differs in its last bit gives all but the same probability.
 */
function addLine(
  graph: GraphBuilder,
  score: string,
  { scores, probabilities }: IsotonicCalibration,
  output: string,
): void {
  const segments = scores.length - 1;
  const left = scores.slice(0, -1);
  const right = scores.slice(1);
  const slopes = left.map((start, index) => {
    const rise = (probabilities[index + 1] as number) - (probabilities[index] as number);
    return rise / ((right[index] as number) - start);
  });
  const begin = graph.constant(left, [1, segments]);
  const clipped = graph.node("Min", [graph.node("Max", [score, begin]), graph.constant(right, [1, segments])]);
  const reached = graph.node("Sub", [clipped, begin]);
  const risen = graph.node("MatMul", [reached, graph.constant(slopes, [segments, 1])]);
  graph.node("Add", [risen, graph.constant([probabilities[0] as number], [1])], {}, { output });
}
