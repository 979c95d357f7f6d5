import { create } from "@bufbuild/protobuf";
import { type Performance, PerformanceSchema } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { inputTensor, type LoadedArtefact } from "../evaluate.ts";
import { INPUT } from "../export/onnx.ts";
import type { Matrix } from "../matrix.ts";

const WARM_UP_RUNS = 3;
const MAX_RUNS = 30;
/** A slow model is run no longer than this. */
const MAX_MS = 300;

/** How large the file is, and how long it takes for one row, and for a row in a batch as the gateway makes them. */
export async function measurePerformance(
  { session }: LoadedArtefact,
  onnx: Uint8Array,
  rows: Matrix,
  batchRows: number,
): Promise<Performance> {
  const medianOf = async (count: number): Promise<number> => {
    const tensor = inputTensor(rows.columns, 0, Math.min(count, rows.labels.length));
    const times: number[] = [];
    const beganMs = performance.now();
    for (let run = 0; run < WARM_UP_RUNS + MAX_RUNS; run += 1) {
      const startMs = performance.now();
      await session.run({ [INPUT]: tensor });
      if (run >= WARM_UP_RUNS) times.push(performance.now() - startMs);
      if (times.length > 0 && performance.now() - beganMs > MAX_MS) break;
    }
    times.sort((left, right) => left - right);
    return (times[times.length >> 1] as number) * 1_000;
  };
  const inBatch = Math.min(batchRows, rows.labels.length);
  return create(PerformanceSchema, {
    artefactBytes: BigInt(onnx.length),
    batchRows: inBatch,
    rowMicroseconds: (await medianOf(inBatch)) / inBatch,
    singleMicroseconds: await medianOf(1),
  });
}
