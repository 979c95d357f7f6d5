/**
 * ModelInfer calls a second of 100 trees, against a bare grpc-js server that echoes the same bytes.
 *
 * The gateway runs as in production, with everything on: validation, batching, metrics, 1 % of the traces. Both are asked by h2load with the
 * same settings, in turns, each the only one at work; the better round of each counts.
 */
import { againstEcho } from "./gateway/againstEcho.ts";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import { MODEL_INFER, modelInferRequest } from "./gateway/flightRequests.ts";

const AIM = 0.75;
const SECONDS = Number(process.argv[2] ?? 5);

await using gateway = await BenchGateway.start();
await gateway.deploy(1, await hundredTrees(gateway.featureNames));
const row = Float32Array.from((await gateway.ask()).prediction?.features ?? []);
const { ratio, figures } = await againstEcho(gateway, MODEL_INFER, modelInferRequest(row), SECONDS);
const { answerBytes, requests } = figures.gateway;
// All answers have the same length, and an error none.
if (answerBytes === 0 || answerBytes % requests !== 0) throw new Error(`${requests} answers had ${answerBytes} bytes`);
console.log(
  JSON.stringify({
    bench: "unary",
    ratio,
    aim: AIM,
    yardstick: "calls/s of a bare grpc-js server that echoes the same bytes, 64 calls at once",
    figures: { inputs: row.length, ...figures },
  }),
);
