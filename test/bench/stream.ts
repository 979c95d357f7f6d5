/**
 * Messages a second on ModelStreamInfer and PredictStream, against ModelInfer and Predict calls a second with the same questions.
 *
 * A stream has 1,000 messages, sent as fast as the gateway reads them; eight streams run at once, each on a connection of its own. The calls are
 * those of the benches `unary` and `predict`: 64 at once. The ratio is the lesser of the two.
 */
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import {
  MODEL_INFER,
  MODEL_STREAM_INFER,
  modelInferRequest,
  PREDICT,
  PREDICT_STREAM,
  predictRequest,
  predictStreamRequest,
} from "./gateway/flightRequests.ts";
import { grpcFrames } from "./gateway/grpcFrame.ts";
import { measure, type Throughput, UNARY } from "./gateway/throughput.ts";

const AIM = 3;
const SECONDS = Number(process.argv[2] ?? 5);
const MESSAGES = 1_000;
const STREAMS = { connections: 8, callsAtOnce: 1 };
/** 16,000 messages. */
const WARM_UP_STREAMS = 16;

await using gateway = await BenchGateway.start();
await gateway.deploy(1, await hundredTrees(gateway.featureNames));
const { address, pid, flights } = gateway;

const calls = (path: string, request: Uint8Array): Promise<Throughput> =>
  measure(nameOf(path), { address, path, body: grpcFrames(request), ...UNARY }, { pid, seconds: SECONDS });

async function messages(path: string, request: Uint8Array) {
  const body = grpcFrames(...Array.from({ length: MESSAGES }, () => request));
  const unit = { name: "messages", perCall: MESSAGES };
  const options = { pid, seconds: SECONDS, warmUpCalls: WARM_UP_STREAMS, unit };
  const { requests, perSecond, answerBytes, cpuMicrosecondsPerCall, seconds } = await measure(
    nameOf(path),
    { address, path, body, ...STREAMS },
    options,
  );
  return {
    messages: requests * MESSAGES,
    seconds,
    perSecond: perSecond * MESSAGES,
    answerBytes,
    cpuMicrosecondsPerMessage: cpuMicrosecondsPerCall / MESSAGES,
  };
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

const row = Float32Array.from((await gateway.ask()).prediction?.features ?? []);
const modelInfer = await calls(MODEL_INFER, modelInferRequest(row));
const modelStreamInfer = await messages(MODEL_STREAM_INFER, modelInferRequest(row));
const predict = await calls(PREDICT, predictRequest(flights, 0));
const from = await gateway.lastStored();
const predictStream = await messages(PREDICT_STREAM, predictStreamRequest(flights, 0));
const stored = await gateway.storedAfter(from);
console.log(`PredictStream, warm-up included: ${stored.all} predictions are stored, ${stored.byChampion} by the model`);
const ratios = {
  modelStreamInfer: modelStreamInfer.perSecond / modelInfer.perSecond,
  predictStream: predictStream.perSecond / predict.perSecond,
};
console.log(
  JSON.stringify({
    bench: "stream",
    ratio: Math.min(...Object.values(ratios)),
    aim: AIM,
    yardstick: "calls/s of ModelInfer and of Predict in the same run, 64 at once",
    figures: { ratios, modelInfer, modelStreamInfer, predict, predictStream, stored },
  }),
);
