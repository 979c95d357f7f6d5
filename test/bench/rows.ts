/**
 * PredictBatch rows a second at 1,000 rows a call, against onnxruntime-node alone, in one thread, on the same rows in batches of that size.
 *
 * ONNX Runtime alone gets numbers and gives numbers. A row of PredictBatch is decoded, checked, its features are read from the near cache, and its
 * answer is decided, encoded and stored on the bus, with its features, before the call is answered. What that costs shows in the third figure:
 * ModelInfer with 1,000 rows a call, the same protocol, batching and model without any of it.
 */

import { APP } from "@millrace/flight-delays";
import { openSession } from "@millrace/onnx";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { Tensor } from "onnxruntime-node";
import { INPUT } from "../../services/training/export/onnx.ts";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import {
  flightRow,
  MODEL_INFER,
  modelInferRequest,
  PREDICT_BATCH,
  predictBatchRequest,
} from "./gateway/flightRequests.ts";
import { grpcFrames } from "./gateway/grpcFrame.ts";
import { measure } from "./gateway/throughput.ts";

const AIM = 0.8;
const SECONDS = Number(process.argv[2] ?? 5);
const ROWS = 1_000;
/** Longer than the app's own deadline, which is for one row. */
const HEADERS = { "grpc-timeout": "10S" };

/** The inputs that the model gets for the batch's rows, one after the other. */
async function inputsOf(gateway: BenchGateway): Promise<Float32Array> {
  const rows = Array.from({ length: ROWS }, (_, index) => flightRow(gateway.flights, index));
  const { results } = await gateway.client.predictBatch({ app: APP, rows }, { timeoutMs: 10_000 });
  const inputs = new Float32Array(ROWS * gateway.featureNames.length);
  for (const [row, { result }] of results.entries()) {
    if (result.case !== "prediction" || result.value.madeBy !== MadeBy.CHAMPION)
      throw new Error(`row ${row}: ${result.case}`);
    inputs.set(result.value.features, row * gateway.featureNames.length);
  }
  return inputs;
}

/** Rows a second of ONNX Runtime in this thread; the bench does nothing else meanwhile. */
async function runAlone(onnx: Uint8Array, inputs: Float32Array): Promise<number> {
  const session = await openSession(onnx);
  const feeds = { [INPUT]: new Tensor("float32", inputs, [ROWS, inputs.length / ROWS]) };
  for (let run = 0; run < 100; run += 1) await session.run(feeds);
  const startMs = performance.now();
  let runs = 0;
  for (; performance.now() - startMs < SECONDS * 1_000; runs += 1) await session.run(feeds);
  const perSecond = (runs * ROWS) / ((performance.now() - startMs) / 1_000);
  await session.release();
  console.log(`${"ONNX Runtime alone".padEnd(18)} ${Math.round(perSecond).toLocaleString("en").padStart(9)} rows/s`);
  return perSecond;
}

await using gateway = await BenchGateway.start();
const onnx = await hundredTrees(gateway.featureNames);
// ModelInfer takes at most a batch's rows in a call.
await gateway.batches(ROWS);
await gateway.deploy(1, onnx);
const inputs = await inputsOf(gateway);
const alone = await runAlone(onnx, inputs);
const { address, pid } = gateway;
const unit = { name: "rows", perCall: ROWS };
const load = { address, headers: HEADERS, connections: 2, callsAtOnce: 1 };
const options = { pid, seconds: SECONDS, warmUpCalls: 60, unit };
const infer = { ...load, path: MODEL_INFER, body: grpcFrames(modelInferRequest(inputs, ROWS)) };
const modelInfer = await measure("ModelInfer", infer, options);
const from = await gateway.lastStored();
const batch = { ...load, path: PREDICT_BATCH, body: grpcFrames(predictBatchRequest(gateway.flights, ROWS)) };
const predictBatch = await measure("PredictBatch", batch, options);
const stored = await gateway.storedAfter(from);
console.log(`warm-up included: ${stored.all} predictions are stored, ${stored.byChampion} by the model`);
const rows = { predictBatch: predictBatch.perSecond * ROWS, modelInfer: modelInfer.perSecond * ROWS, alone };
console.log(
  JSON.stringify({
    bench: "rows",
    ratio: rows.predictBatch / alone,
    aim: AIM,
    yardstick: "rows/s of onnxruntime-node alone, one thread, the same 1,000 rows a run",
    figures: { rowsPerSecond: rows, predictBatch, modelInfer, stored },
  }),
);
