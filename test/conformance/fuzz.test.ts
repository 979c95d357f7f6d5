/** `FUZZ_MESSAGES=100000 npm test -- test/conformance/fuzz.test.ts` sends as many; without, a few thousand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { randomNumbers } from "@millrace/metrics";
import { GRPCInferenceService } from "@millrace/proto/inference/grpc_service_pb.ts";
import {
  PredictionService,
  PredictRequestSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { logisticModel } from "../../services/inference-gateway/workers/onnxForTests.ts";
import { ConformanceGateway } from "./conformanceGateway.ts";
import { floatsOf, inferRequest, int64Parameter, outputsOf, rawOf, uint64Parameter } from "./inferenceClient.ts";
import { arithmetic, concat, identity } from "./models.ts";
import { mutate } from "./mutation.ts";
import { bytes, floats, message, number, text } from "./wire.ts";

const MESSAGES = Number(process.env["FUZZ_MESSAGES"] ?? 4_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const AT_ONCE = 32;
const STREAM_LENGTH = 8;
const TIMEOUT_MS = 10_000;
/** What is kept at the end may differ by caches that are still filling. */
const GROWTH_BYTES = 24 << 20;

/** What a bad request may be answered. Anything else is the server's own fault. */
const PROPER = new Set([
  status.OK,
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.FAILED_PRECONDITION,
  status.RESOURCE_EXHAUSTED,
  status.DEADLINE_EXCEEDED,
]);

const tensor = (name: string, shape: number[], values: number[]) => ({
  name,
  datatype: "FP32",
  shape,
  raw: rawOf(Float32Array.from(values)),
});
const ARITHMETIC = inferRequest("arithmetic", [tensor("a", [1, 3], [1, 2, 3]), tensor("b", [1, 3], [4, 5, 6])]);
const INFER = [
  ARITHMETIC,
  inferRequest("concat", [tensor("a", [2, 1], [1, 2]), tensor("b", [2, 2], [3, 4, 5, 6])], { id: "id" }),
  inferRequest("flights", [tensor("features", [1, 3], [1, 0, 0])], {
    version: "7",
    outputs: ["probability"],
    parameters: { priority: uint64Parameter(1), timeout: int64Parameter(1_000_000) },
  }),
  inferRequest("strings", [
    { name: "x", datatype: "BYTES", shape: [1, 2], raw: Uint8Array.of(1, 0, 0, 0, 97, 0, 0, 0, 0) },
  ]),
  inferRequest("arithmetic", [
    { name: "a", datatype: "FP32", shape: [1, 3], contents: floats(6, [1, 2, 3]) },
    { name: "b", datatype: "FP32", shape: [1, 3], contents: floats(6, [1, 2, 3], false) },
  ]),
];
const NAMED = [Uint8Array.from([...text(1, "flights"), ...text(2, "7")])];
const PREDICT = toBinary(
  PredictRequestSchema,
  create(PredictRequestSchema, {
    app: "flights",
    fields: {
      flight_id: { kind: { case: "stringValue", value: "f1" } },
      origin: { kind: { case: "stringValue", value: "SFO" } },
      distance: { kind: { case: "doubleValue", value: 1 } },
    },
  }),
);

function seedsOf({ name, parent }: DescMethod): readonly Uint8Array[] {
  // A batch of predictions holds predictions, in whichever field.
  if (parent.typeName === PredictionService.typeName)
    return [PREDICT, Uint8Array.from(message(1, [...PREDICT])), Uint8Array.from(message(2, [...PREDICT]))];
  if (name === "ModelInfer" || name === "ModelStreamInfer") return INFER;
  if (name === "RepositoryIndex") return [Uint8Array.from(number(2, 1))];
  if (name === "RepositoryModelLoad") {
    const file = message(3, text(1, "file:1/model.onnx"), message(2, bytes(4, [1, 2, 3, 4, 5, 6])));
    return [Uint8Array.from([...text(2, "fuzz"), ...file])];
  }
  if (name === "RepositoryModelUnload") return [Uint8Array.from(text(2, "fuzz"))];
  return NAMED;
}

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("mutated and random messages on every method get a proper status, in time, and leave nothing behind", async (context) => {
  await using system = await ConformanceGateway.start({
    arithmetic: arithmetic(),
    concat: concat(),
    strings: identity("STRING"),
  });
  const { client, gateway } = system;
  await gateway.serve(await gateway.model(7, logisticModel([1, 0, 1])));
  const random = randomNumbers(SEED);
  const methods = [...GRPCInferenceService.methods, ...PredictionService.methods];
  const counts = new Map<string, number>();

  const send = async (method: DescMethod): Promise<void> => {
    const service = method.parent.typeName;
    const seeds = seedsOf(method);
    const startedAt = performance.now();
    let code: status;
    if (method.methodKind === "unary") {
      code = (await client.call(method.name, mutate(seeds, random), TIMEOUT_MS, { service })).code;
    } else {
      const requests = Array.from({ length: STREAM_LENGTH }, () => mutate(seeds, random));
      const options = { method: method.name, service, timeoutMs: TIMEOUT_MS };
      code = (await client.stream(requests, options)).code;
    }
    assert.ok(PROPER.has(code), `${method.name} answered ${status[code]}`);
    assert.ok(performance.now() - startedAt < TIMEOUT_MS / 2, `${method.name} took too long`);
    counts.set(status[code], (counts.get(status[code]) ?? 0) + 1);
  };
  const sendAll = async (messages: number): Promise<void> => {
    for (let sent = 0; sent < messages; ) {
      const calls: Promise<void>[] = [];
      while (calls.length < AT_ONCE) {
        const method = methods[Math.floor(random() * methods.length)] as DescMethod;
        sent += method.methodKind === "unary" ? 1 : STREAM_LENGTH;
        calls.push(send(method));
      }
      await Promise.all(calls);
    }
  };

  await sendAll(MESSAGES / 4);
  const before = heapBytes();
  await sendAll(MESSAGES - MESSAGES / 4);
  const growth = heapBytes() - before;
  context.diagnostic(
    `${JSON.stringify(Object.fromEntries(counts))}, ${(growth / 2 ** 20).toFixed(1)} MiB more than after a quarter`,
  );
  assert.ok(growth < GROWTH_BYTES, `${growth} bytes more`);
  const { code, message: answer } = await client.call("ModelInfer", ARITHMETIC);
  assert.equal(code, status.OK);
  assert.deepEqual(floatsOf(outputsOf(answer).get("sum")?.raw), [5, 7, 9]);
  assert.equal((await gateway.predict()).prediction?.modelVersion, "flights/7");
});
