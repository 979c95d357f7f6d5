import { type Datatype, GraphBuilder } from "@millrace/onnx";

/** Gives back what it is given. */
export function identity(datatype: Datatype, shape: readonly (number | string)[] = ["rows", 2]): Uint8Array {
  const graph = new GraphBuilder("identity");
  graph.input("x", shape, datatype);
  graph.node("Identity", ["x"], {}, { output: "y" });
  graph.output("y", shape, datatype);
  return graph.toBytes();
}

/** Two inputs, two outputs: `sum` = a + b, and `product` = a · b, each [rows, 3]. */
export function arithmetic(): Uint8Array {
  const graph = new GraphBuilder("arithmetic");
  graph.input("a", ["rows", 3]);
  graph.input("b", ["rows", 3]);
  graph.node("Add", ["a", "b"], {}, { output: "sum" });
  graph.node("Mul", ["a", "b"], {}, { output: "product" });
  graph.output("sum", ["rows", 3]);
  graph.output("product", ["rows", 3]);
  return graph.toBytes();
}

/** Puts rows of any two widths side by side. */
export function concat(): Uint8Array {
  const graph = new GraphBuilder("concat");
  graph.input("a", ["rows", "left"]);
  graph.input("b", ["rows", "right"]);
  graph.node("Concat", ["a", "b"], { axis: 1n }, { output: "both" });
  graph.output("both", ["rows", "width"]);
  return graph.toBytes();
}

/** A matrix without a batch: [2, 3] in, [2, 2] out. */
export function unbatched(): Uint8Array {
  const graph = new GraphBuilder("unbatched");
  graph.input("x", [2, 3]);
  graph.node("MatMul", ["x", graph.constant([1, 0, 0, 1, 1, 1], [3, 2])], {}, { output: "y" });
  graph.output("y", [2, 2]);
  return graph.toBytes();
}

/** The mean over the batch is taken from every row: rows depend on each other. */
export function rowMixing(): Uint8Array {
  const graph = new GraphBuilder("mixing");
  graph.input("x", ["rows", 2]);
  const mean = graph.node("ReduceMean", ["x"], { axes: { ints: [0] } });
  graph.node("Sub", ["x", mean], {}, { output: "y" });
  graph.output("y", ["rows", 2]);
  return graph.toBytes();
}

/** `repetitions` products with a `width` × `width` matrix: slow, and its cost known in advance. */
export function heavy(width: number, repetitions: number): Uint8Array {
  const graph = new GraphBuilder("heavy");
  graph.input("x", ["rows", width]);
  const weights = Array.from({ length: width * width }, (_, index) => (index % (width + 1) === 0 ? 0.5 : 0));
  const matrix = graph.constant(weights, [width, width]);
  let last = "x";
  for (let round = 1; round <= repetitions; round += 1) {
    const output = round === repetitions ? "y" : `y_${round}`;
    last = graph.node("MatMul", [last, matrix], {}, { output });
  }
  graph.output("y", ["rows", width]);
  return graph.toBytes();
}

/** Reads numbers out of texts; fails for any other text. */
export function parsing(): Uint8Array {
  const graph = new GraphBuilder("parsing");
  graph.input("x", ["rows", 1], "STRING");
  graph.node("Cast", ["x"], { to: 1n }, { output: "y" });
  graph.output("y", ["rows", 1]);
  return graph.toBytes();
}
