/**
 * Resident memory of the gateway over a million requests, and over 100 hot swaps under load, in one run: that of the first tenth over that of the last.
 *
 * The requests come in ten rounds, each the same mix: a quarter Predict calls, a quarter ModelInfer calls, half messages of PredictStream (plain
 * Predict calls alone would take twice as long). In the second part another version becomes the champion again and again, each loaded and warmed up
 * anew, while h2load goes on asking with Predict. A prediction that is answered is stored, so what is missing in the stream has failed; answers
 * of ModelInfer have the same length, and an error none. `npm run bench -- soak 200000 20` makes it shorter.
 */
import { setTimeout as delay } from "node:timers/promises";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import {
  MODEL_INFER,
  modelInferRequest,
  PREDICT,
  PREDICT_STREAM,
  predictRequest,
  predictStreamRequest,
} from "./gateway/flightRequests.ts";
import { grpcFrames } from "./gateway/grpcFrame.ts";
import { runH2load } from "./gateway/h2load.ts";
import { UNARY } from "./gateway/throughput.ts";
import { residentMiB } from "./processes/residentMemory.ts";

const AIM = 0.9;
const REQUESTS = Number(process.argv[2] ?? 1_000_000);
const SWAPS = Number(process.argv[3] ?? 100);
const ROUNDS = 10;
const STREAM_MESSAGES = 1_000;
const CHUNK = 2_000;
const SAMPLE_MS = 100;

interface Growth {
  readonly earlyMiB: number;
  readonly lateMiB: number;
}

/** The median resident memory of the first tenth and of the last tenth of the time that the work takes. */
async function watch(work: Promise<unknown>): Promise<Growth> {
  const samples: number[] = [];
  const over = new AbortController();
  const done = work.finally(() => over.abort());
  // Looked at below.
  done.catch(() => undefined);
  while (!over.signal.aborted) {
    samples.push(residentMiB(gateway.pid));
    await delay(SAMPLE_MS);
  }
  await done;
  const tenth = Math.ceil(samples.length / 10);
  const median = (values: readonly number[]): number =>
    [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
  return { earlyMiB: median(samples.slice(0, tenth)), lateMiB: median(samples.slice(-tenth)) };
}

const show = (what: string, { earlyMiB, lateMiB }: Growth): void =>
  console.log(`${what}: ${earlyMiB.toFixed(0)} MiB in the first tenth, ${lateMiB.toFixed(0)} MiB in the last`);

await using gateway = await BenchGateway.start();
const files = [await hundredTrees(gateway.featureNames, 1), await hundredTrees(gateway.featureNames, 2)] as const;
await gateway.deploy(1, files[0]);
const { address, flights } = gateway;
const predict = { address, path: PREDICT, body: grpcFrames(predictRequest(flights, 0)), ...UNARY };
const inputs = Float32Array.from((await gateway.ask()).prediction?.features ?? []);
const modelInfer = { address, path: MODEL_INFER, body: grpcFrames(modelInferRequest(inputs)), ...UNARY };
const message = predictStreamRequest(flights, 0);
const stream = {
  address,
  path: PREDICT_STREAM,
  body: grpcFrames(...Array.from({ length: STREAM_MESSAGES }, () => message)),
  connections: 8,
  callsAtOnce: 1,
};
const calls = Math.round(REQUESTS / ROUNDS / 4);
const streams = Math.round((2 * calls) / STREAM_MESSAGES);

/** The mix; how many calls of ModelInfer were not answered. */
async function round(): Promise<number> {
  await runH2load(predict, calls);
  const { answerBytes } = await runH2load(modelInfer, calls);
  await runH2load(stream, streams);
  return calls - answerBytes / answerBytesOfOne;
}

async function allRounds(): Promise<number> {
  let unanswered = 0;
  for (let done = 1; done <= ROUNDS; done += 1) {
    unanswered += await round();
    console.log(`round ${done} of ${ROUNDS}, ${residentMiB(gateway.pid).toFixed(0)} MiB`);
  }
  return unanswered;
}

const { answerBytes: answerBytesOfOne } = await runH2load({ ...modelInfer, connections: 1 }, 1);
// Before anything is compared: code is compiled, and the heap has its size.
await round();

const before = await gateway.lastStored();
const working = allRounds();
const requests = await watch(working);
const predictions = ROUNDS * (calls + streams * STREAM_MESSAGES);
const unanswered = (await working) + predictions - (await gateway.storedAfter(before)).all;
const count = predictions + ROUNDS * calls;
show(`${count.toLocaleString("en")} requests, ${unanswered} failed`, requests);

/** Other versions, one after the other, under load; how many questions that took. */
async function swapAll(): Promise<number> {
  let asked = 0;
  const swapped = new AbortController();
  const swapping = (async () => {
    for (let swap = 1; swap <= SWAPS; swap += 1) {
      const questions = await gateway.deploy(1 + swap, files[swap % 2 === 0 ? 0 : 1]);
      asked += questions;
      if (swap % 10 === 0) console.log(`${swap} swaps, ${residentMiB(gateway.pid).toFixed(0)} MiB`);
    }
  })().finally(() => swapped.abort());
  while (!swapped.signal.aborted) {
    const { requests: answered, failed } = await runH2load(predict, CHUNK);
    asked += answered + failed;
  }
  await swapping;
  return asked;
}

const from = await gateway.lastStored();
const work = swapAll();
const swaps = await watch(work);
const asked = await work;
const stored = await gateway.storedAfter(from);
const failed = asked - stored.all;
const byFallback = stored.all - stored.byChampion;
show(
  `${SWAPS} swaps under ${asked.toLocaleString("en")} predictions, ${failed} failed, ${byFallback} by a fallback`,
  swaps,
);
console.log(
  JSON.stringify({
    bench: "soak",
    ratio: Math.min(...[requests, swaps].map(({ earlyMiB, lateMiB }) => earlyMiB / lateMiB)),
    aim: AIM,
    yardstick: "the gateway's resident memory in the first tenth of the time",
    figures: {
      requests: { count, failed: unanswered, ...requests },
      swaps: { count: SWAPS, predictions: asked, failed, byFallback, ...swaps },
    },
  }),
);
