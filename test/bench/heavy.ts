/**
 * Capacity for a dense net of about 5 ms a row with batches of up to 64, against the same net asked row by row; then 50 % and 120 % of it.
 *
 * Capacity is how many Predict calls a second the model itself answers when callers never pause. Then callers come at fixed times whatever the
 * answers (an open loop), each with the app's deadline of 250 ms as its grpc-timeout. Beyond capacity a call is answered by a fallback or
 * refused with RESOURCE_EXHAUSTED and a retry hint, nobody waits beyond the deadline, and the model goes on answering about as many as it can.
 * h2load sees no gRPC status: what the model, a fallback or nobody answered is counted in the stored predictions, and a caller of this process
 * asks beside h2load and counts the statuses. Then it is seen how soon the model answers as before.
 */
import { setTimeout as delay } from "node:timers/promises";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { BenchGateway } from "./gateway/benchGateway.ts";
import { denseNet } from "./gateway/benchModels.ts";
import { PREDICT, predictRequest } from "./gateway/flightRequests.ts";
import { grpcFrames } from "./gateway/grpcFrame.ts";
import { runH2load } from "./gateway/h2load.ts";

const AIM = 4;
const SECONDS = Number(process.argv[2] ?? 5);
const DEADLINE_MS = 250;
const BATCH = 64;
const PROBE_EVERY_MS = 25;

await using gateway = await BenchGateway.start();
const load = {
  address: gateway.address,
  path: PREDICT,
  body: grpcFrames(predictRequest(gateway.flights, 0)),
  headers: { "grpc-timeout": `${DEADLINE_MS}m` },
  connections: 8,
};

/** Waits until the model answers. */
const recovered = (): Promise<unknown> =>
  waitFor(async () => ((await gateway.ask()).prediction?.modelVersion === "" ? undefined : true), {
    deadlineMs: 30_000,
    everyMs: 10,
    what: "the model to answer again",
  });

/** Answers of the model a second, to so many callers that never pause. */
async function capacity(callsAtOnce: number): Promise<number> {
  const closed = { ...load, callsAtOnce };
  const { perSecond } = await runH2load(closed, 400);
  await recovered();
  const from = await gateway.lastStored();
  const { seconds, requests } = await runH2load(closed, Math.round(perSecond * SECONDS));
  const { byChampion } = await gateway.storedAfter(from);
  const callers = load.connections * callsAtOnce;
  console.log(
    `${callers} callers: ${(byChampion / seconds).toFixed(0)} answers/s by the model, to ${((100 * byChampion) / requests).toFixed(1)} % of the calls`,
  );
  return byChampion / seconds;
}

interface Probes {
  readonly outcomes: Record<string, number>;
  /** Shortest and longest; both undefined when nothing was refused. */
  readonly retryAfterMs: readonly (number | undefined)[];
}

/** What a caller gets who asks every 25 ms. */
async function probe(until: AbortSignal): Promise<Probes> {
  const outcomes: Record<string, number> = {};
  const hints: number[] = [];
  const asking: Promise<void>[] = [];
  while (!until.aborted) {
    const outcome = gateway.ask(1, DEADLINE_MS).then(
      ({ prediction }) => (prediction?.modelVersion === "" ? "fallback" : "model"),
      (error: unknown) => {
        if (!(error instanceof MillraceError)) return String(error);
        if (error.retryAfterMs !== undefined) hints.push(error.retryAfterMs);
        return error.code;
      },
    );
    asking.push(
      outcome.then((name) => {
        outcomes[name] = (outcomes[name] ?? 0) + 1;
      }),
    );
    await delay(PROBE_EVERY_MS);
  }
  await Promise.all(asking);
  hints.sort((a, b) => a - b);
  return { outcomes, retryAfterMs: [hints[0], hints.at(-1)] };
}

async function openLoop(perSecond: number) {
  await recovered();
  const stopping = new AbortController();
  const from = await gateway.lastStored();
  const probing = probe(stopping.signal);
  const result = await runH2load({ ...load, callsAtOnce: 2_000, perSecond }, Math.round(perSecond * SECONDS));
  stopping.abort();
  const probes = await probing;
  const overAt = performance.now();
  await recovered();
  const recoveryMs = performance.now() - overAt;
  const { all, byChampion } = await gateway.storedAfter(from);
  const { requests, failed, p50Ms, p99Ms, maxMs } = result;
  const modelPerSecond = byChampion / result.seconds;
  const asked = requests + Object.values(probes.outcomes).reduce((sum, count) => sum + count, 0);
  const shares = { model: byChampion / asked, fallback: (all - byChampion) / asked, refused: 1 - all / asked };
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  console.log(
    `${perSecond.toFixed(0)} calls/s: p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms, longest ${maxMs.toFixed(0)} ms, ${failed} without an answer; ` +
      `model ${percent(shares.model)} (${modelPerSecond.toFixed(0)}/s), fallback ${percent(shares.fallback)}, refused ${percent(shares.refused)}; ` +
      `probes ${JSON.stringify(probes)}; the model answers ${recoveryMs.toFixed(0)} ms afterwards`,
  );
  const rates = { perSecond, sentPerSecond: result.perSecond, modelPerSecond };
  return { ...rates, p50Ms, p99Ms, maxMs, hung: failed, shares, probes, recoveryMs };
}

const onnx = denseNet(gateway.featureNames);
await gateway.batches(1);
await gateway.deploy(1, onnx);
const single = await capacity(2);
await gateway.batches(BATCH);
await gateway.deploy(2, onnx);
const batched = await capacity(24);
const half = await openLoop(0.5 * batched);
const beyond = await openLoop(1.2 * batched);
console.log(
  JSON.stringify({
    bench: "heavy",
    ratio: batched / single,
    aim: AIM,
    yardstick: "answers/s of the same model at batch size 1",
    figures: { deadlineMs: DEADLINE_MS, single, batched, half, beyond, goodput: beyond.modelPerSecond / batched },
  }),
);
