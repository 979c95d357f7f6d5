/**
 * Predict calls a second with online features and the prediction's event, against a bare grpc-js server that echoes the same bytes.
 *
 * A day of real flights went through ingestion and the feature service; then a flight of the next day is asked about, over and over, each time
 * under another request id, and each prediction is stored on the bus before it is answered. Both are asked by h2load with the same settings,
 * in turns; the better round of each counts.
 */
import { againstEcho } from "./gateway/againstEcho.ts";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import { PREDICT, predictRequest } from "./gateway/flightRequests.ts";

const AIM = 0.5;
const SECONDS = Number(process.argv[2] ?? 5);

await using gateway = await BenchGateway.start();
await gateway.deploy(1, await hundredTrees(gateway.featureNames));
const from = await gateway.lastStored();
const { ratio, figures } = await againstEcho(gateway, PREDICT, predictRequest(gateway.flights, 0), SECONDS);
const stored = await gateway.storedAfter(from);
console.log(
  `${stored.all.toLocaleString("en")} predictions are stored, ${stored.byChampion.toLocaleString("en")} of them by the model`,
);
console.log(
  JSON.stringify({
    bench: "predict",
    ratio,
    aim: AIM,
    yardstick: "calls/s of a bare grpc-js server that echoes the same bytes, 64 calls at once",
    figures: { ...figures, stored },
  }),
);
