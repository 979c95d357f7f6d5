/**
 * Dense nets in int8 against float32: time of a run by batch size, and by how much the answers differ.
 *
 * Nets of several sizes with random weights and ReLU between the layers; the largest takes about 5 ms for a row. They are timed as the registry times an uploaded model: both in
 * turn, in one thread, so that whatever else the machine does slows down both; a time is the median. How much is gained depends on the processor: with VNNI
 * instructions int8 products are added four at a time, without them two at a time.
 */
import { readFileSync } from "node:fs";
import { GraphBuilder } from "@millrace/onnx";
import { predictWithArtefact } from "../../services/training/evaluate.ts";
import { modelTasks, type Timing } from "../../services/training/upload/modelTasks.ts";

const NETS: readonly (readonly number[])[] = [
  [32, 256, 256, 1],
  [64, 1_024, 1_024, 1],
  [512, 2_048, 2_048, 2_048, 2_048, 1],
];
const BATCH_SIZES = [1, 8, 64];
/** Of the flights' app: the ratio is of this one and the largest net. */
const BATCH_IN_USE = 64;
const ROWS = 1_000;
const AIM = 1.5;

interface Measured {
  readonly net: string;
  readonly floatBytes: number;
  readonly int8Bytes: number;
  readonly timings: readonly Timing[];
  /** Of the answers' standard deviation. */
  readonly largestDifference: number;
  readonly meanDifference: number;
}

/** Deterministic numbers, normally distributed. */
function normal(count: number, seed: number, deviation = 1): Float32Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => deviation * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

function denseNet(sizes: readonly number[]): Uint8Array {
  const graph = new GraphBuilder("net");
  let value = graph.input("features", ["rows", sizes[0] as number]);
  for (const [layer, rows] of sizes.slice(0, -1).entries()) {
    const columns = sizes[layer + 1] as number;
    const isLast = layer === sizes.length - 2;
    const weights = graph.constant(normal(rows * columns, layer + 1, Math.sqrt(2 / rows)), [rows, columns]);
    const bias = graph.constant(normal(columns, layer + 100, 0.1), [columns]);
    value = graph.node("Gemm", [value, weights, bias], {}, isLast ? { output: "probability" } : {});
    if (!isLast) value = graph.node("Relu", [value]);
  }
  graph.output("probability", ["rows", 1]);
  return graph.toBytes();
}

async function measure(sizes: readonly number[]): Promise<Measured> {
  const file = denseNet(sizes);
  const columns = sizes[0] as number;
  const values = normal(BATCH_IN_USE * columns, 5);
  // The small ones too, to see what they would gain.
  const request = { onnx: file, minWeights: 4_096, batchSizes: BATCH_SIZES, values, columns };
  const { onnx: quantized, timings } = await modelTasks.quantize(request);
  const inputs = Array.from({ length: columns }, (_, column) => Float64Array.from(normal(ROWS, column + 200)));
  const expected = await predictWithArtefact(file, inputs);
  const given = await predictWithArtefact(quantized, inputs);
  const mean = expected.reduce((sum, value) => sum + value, 0) / ROWS;
  const spread = Math.sqrt(expected.reduce((sum, value) => sum + (value - mean) ** 2, 0) / ROWS);
  const differences = expected.map((value, row) => Math.abs(value - (given[row] as number)) / spread);
  return {
    net: sizes.join("-"),
    floatBytes: file.length,
    int8Bytes: quantized.length,
    timings,
    largestDifference: Math.max(...differences),
    meanDifference: differences.reduce((sum, value) => sum + value, 0) / ROWS,
  };
}

/** The instructions for int8 that the processor says it has; undefined where it does not say. */
function int8Instructions(): string[] | undefined {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
    return flags.filter((flag) => /vnni|amx_int8|^avx2$|^avx512bw$/.test(flag));
  } catch {
    return undefined;
  }
}

const timesAsFast = ({ originalMs, quantizedMs }: Timing): number => originalMs / quantizedMs;
const milliseconds = (ms: number): string => `${ms.toFixed(3).padStart(8)} ms`;

const measured: Measured[] = [];
for (const sizes of NETS) {
  const one = await measure(sizes);
  measured.push(one);
  const bytes = `${(one.floatBytes / 1e6).toFixed(1)} MB, in int8 ${(one.int8Bytes / 1e6).toFixed(1)} MB`;
  const differences = `answers differ by ${one.meanDifference.toFixed(4)} of their spread on average, ${one.largestDifference.toFixed(3)} at most`;
  console.log(`${one.net}: ${bytes}; ${differences}`);
  for (const timing of one.timings) {
    const rows = String(timing.batchRows).padStart(4);
    const times = `float32 ${milliseconds(timing.originalMs)}   int8 ${milliseconds(timing.quantizedMs)}`;
    console.log(`  ${rows} rows   ${times}   ${timesAsFast(timing).toFixed(2)} times as fast`);
  }
}
const inUse = measured.at(-1)?.timings.find(({ batchRows }) => batchRows === BATCH_IN_USE);
console.log(
  JSON.stringify({
    bench: "quantize",
    ratio: inUse === undefined ? Number.NaN : timesAsFast(inUse),
    aim: AIM,
    yardstick: `the same net in float32, ${BATCH_IN_USE} rows a run, one thread`,
    figures: { instructions: int8Instructions(), nets: measured },
  }),
);
