import type { GraphProto } from "@millrace/proto/onnx/onnx_pb.ts";
import { usedNames } from "./graphNames.ts";

/** Gives a value of a graph, if there is one, another name, wherever it is read or made; a value that has that name already gets a new one. */
export function renameValue(graph: GraphProto, from: string, to: string): void {
  if (from === to) return;
  const taken = usedNames(graph.node);
  for (const { name } of [...graph.initializer, ...graph.input, ...graph.output, ...graph.valueInfo]) taken.add(name);
  if (taken.has(to)) {
    let free = `${to}_2`;
    for (let number = 3; taken.has(free); number += 1) free = `${to}_${number}`;
    rename(graph, to, free);
  }
  rename(graph, from, to);
}

/** Of graphs within nodes too: they read the values around them. */
function rename(graph: GraphProto, from: string, to: string): void {
  const renamed = (names: readonly string[]): string[] => names.map((name) => (name === from ? to : name));
  for (const named of [...graph.initializer, ...graph.input, ...graph.output, ...graph.valueInfo]) {
    if (named.name === from) named.name = to;
  }
  for (const node of graph.node) {
    node.input = renamed(node.input);
    node.output = renamed(node.output);
    for (const { g, graphs } of node.attribute) {
      for (const inner of g === undefined ? graphs : [g, ...graphs]) rename(inner, from, to);
    }
  }
}
