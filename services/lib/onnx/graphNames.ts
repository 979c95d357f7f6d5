import type { GraphProto, NodeProto, TensorProto } from "@millrace/proto/onnx/onnx_pb.ts";

/** What a graph's names stand for: its constants, who uses a value, which names are taken. */
export class GraphNames {
  readonly #constants = new Map<string, TensorProto>();
  readonly #makers = new Map<string, NodeProto>();
  readonly #taken = new Set<string>();

  /** @param initializersAreConstant though they are listed as inputs: before IR version 4 all are, later those that a caller may replace */
  constructor(graph: GraphProto, initializersAreConstant: boolean) {
    const replaceable = new Set(initializersAreConstant ? [] : graph.input.map(({ name }) => name));
    for (const tensor of graph.initializer) {
      this.#taken.add(tensor.name);
      if (!replaceable.has(tensor.name)) this.#constants.set(tensor.name, tensor);
    }
    for (const { name } of [...graph.input, ...graph.output]) this.#taken.add(name);
    for (const node of graph.node) {
      for (const name of node.output) this.#makers.set(name, node);
      const [name] = node.output;
      const tensor = node.opType === "Constant" ? node.attribute.find((each) => each.name === "value")?.t : undefined;
      if (name !== undefined && tensor !== undefined) this.#constants.set(name, tensor);
    }
    for (const name of usedNames(graph.node)) this.#taken.add(name);
  }

  constant(name: string): TensorProto | undefined {
    return this.#constants.get(name);
  }

  /** The node that makes a value; undefined for inputs and initializers. */
  maker(name: string): NodeProto | undefined {
    return this.#makers.get(name);
  }

  /** A name that nothing has, now taken. */
  fresh(wish: string): string {
    let name = wish;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${wish}_${number}`;
    this.#taken.add(name);
    return name;
  }
}

/** Every value that the nodes, or graphs within them, read or make. */
export function usedNames(nodes: readonly NodeProto[]): Set<string> {
  const names = new Set<string>();
  const visit = ({ input, output, attribute }: NodeProto): void => {
    for (const name of [...input, ...output]) names.add(name);
    for (const { g, graphs } of attribute) {
      for (const inner of g === undefined ? graphs : [g, ...graphs]) {
        for (const { name } of inner.output) names.add(name);
        for (const node of inner.node) visit(node);
      }
    }
  };
  for (const node of nodes) visit(node);
  return names;
}
