/**
 * Resident memory of the gateway over 200,000 predictions and over 100 hot swaps under load: that of the first tenth over that of the last.
 *
 * `npm run bench -- soak 1000000` makes a million. In the second part another version becomes the champion again and again, each loaded and warmed
 * up anew, while h2load goes on asking; a prediction that is answered is stored, so what is missing in the stream has failed.
 */
import { setTimeout as delay } from "node:timers/promises";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { hundredTrees } from "./gateway/benchModels.ts";
import { PREDICT, predictRequest } from "./gateway/flightRequests.ts";
import { grpcFrames } from "./gateway/grpcFrame.ts";
import { runH2load } from "./gateway/h2load.ts";
import { UNARY } from "./gateway/throughput.ts";
import { residentMiB } from "./processes/residentMemory.ts";

const AIM = 0.9;
const REQUESTS = Number(process.argv[2] ?? 200_000);
const SWAPS = Number(process.argv[3] ?? 100);
/** Before anything is compared: code is compiled, and the heap has its size. */
const WARM_UP = 20_000;
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
const load = {
  address: gateway.address,
  path: PREDICT,
  body: grpcFrames(predictRequest(gateway.flights, 0)),
  ...UNARY,
};
await gateway.deploy(1, files[0]);
await runH2load(load, WARM_UP);

const before = await gateway.lastStored();
const requests = await watch(runH2load(load, REQUESTS));
const unanswered = REQUESTS - ((await gateway.lastStored()) - before);
show(`${REQUESTS.toLocaleString("en")} predictions, ${unanswered} failed`, requests);

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
    const { requests: answered, failed } = await runH2load(load, CHUNK);
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
      requests: { count: REQUESTS, failed: unanswered, ...requests },
      swaps: { count: SWAPS, predictions: asked, failed, byFallback, ...swaps },
    },
  }),
);
