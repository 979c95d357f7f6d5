import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { logisticModel } from "../../services/inference-gateway/workers/onnxForTests.ts";
import { ConformanceGateway } from "./conformanceGateway.ts";
import {
  type Answer,
  floatsOf,
  inferRequest,
  int64Parameter,
  outputsOf,
  rawOf,
  type Tensor,
  uint64Parameter,
} from "./inferenceClient.ts";
import { arithmetic, concat, identity, unbatched } from "./models.ts";
import { type Bytes, floats, type Message, number, text, varints } from "./wire.ts";

let system: ConformanceGateway;
before(async () => {
  system = await ConformanceGateway.start({
    arithmetic: arithmetic(),
    concat: concat(),
    unbatched: unbatched(),
    strings: identity("STRING"),
    bytes: identity("INT8"),
  });
  await system.gateway.serve(await system.gateway.model(7, logisticModel([1, 0, 1], 0.5)));
});
after(() => system[Symbol.asyncDispose]());

const raw = (name: string, shape: number[], values: number[]): Tensor => ({
  name,
  datatype: "FP32",
  shape,
  raw: rawOf(Float32Array.from(values)),
});
const typed = (name: string, shape: number[], values: number[], packed = true): Tensor => ({
  name,
  datatype: "FP32",
  shape,
  contents: floats(6, values, packed),
});
const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);
const ONE = [raw("a", [1, 3], [1, 2, 3]), raw("b", [1, 3], [10, 20, 30])];

const ok = ({ code, details, message }: Answer): Message => {
  assert.equal(code, status.OK, details);
  return message;
};
const refused = ({ code, details }: Answer, expected: status, pattern: RegExp): void => {
  assert.equal(code, expected, details);
  assert.match(details, pattern);
};

test("the server lives, is ready, and tells its name, version and extensions", async () => {
  assert.equal(ok(await system.client.call("ServerLive")).number(1), 1n);
  assert.equal(ok(await system.client.call("ServerReady")).number(1), 1n);
  const metadata = ok(await system.client.call("ServerMetadata"));
  assert.equal(metadata.text(1), "millrace");
  assert.ok(metadata.texts(3).includes("model_repository"));
});

test("a model is ready or not, an unknown one is not", async () => {
  const ready = async (...fields: Bytes[]): Promise<bigint> =>
    ok(await system.client.call("ModelReady", fields.flat())).number(1);
  assert.equal(await ready(text(1, "arithmetic")), 1n);
  assert.equal(await ready(text(1, "flights"), text(2, "7")), 1n);
  assert.equal(await ready(text(1, "flights"), text(2, "8")), 0n);
  assert.equal(await ready(text(1, "nothing")), 0n);
});

test("metadata names inputs and outputs with datatypes, and shapes with the batch first", async () => {
  const metadata = ok(await system.client.call("ModelMetadata", text(1, "concat")));
  assert.equal(metadata.text(1), "concat");
  assert.deepEqual(metadata.texts(2), ["1"]);
  assert.equal(metadata.text(3), "onnxruntime_onnx");
  const tensors = (field: number) =>
    metadata.messages(field).map((tensor) => [tensor.text(1), tensor.text(2), ...tensor.numbers(3)]);
  assert.deepEqual(tensors(4), [
    ["a", "FP32", -1n, -1n],
    ["b", "FP32", -1n, -1n],
  ]);
  assert.deepEqual(tensors(5), [["both", "FP32", -1n, -1n]]);
  refused(await system.client.call("ModelMetadata", text(1, "x")), status.NOT_FOUND, /no model "x"/);
});

test("the configuration has the maximum batch size, and dimensions without the batch where there is one", async () => {
  const config = async (name: string): Promise<Message> =>
    ok(await system.client.call("ModelConfig", text(1, name))).message(1);
  const batched = await config("arithmetic");
  assert.equal(batched.text(1), "arithmetic");
  assert.equal(batched.text(2), "onnxruntime_onnx");
  assert.equal(batched.text(17), "onnxruntime");
  assert.equal(batched.number(4), 64n);
  assert.deepEqual(
    batched.messages(5).map((input) => [input.text(1), input.number(2), ...input.numbers(4)]),
    [
      ["a", 11n, 3n],
      ["b", 11n, 3n],
    ],
  );
  assert.deepEqual(
    batched.messages(6).map((output) => [output.text(1), output.number(2), ...output.numbers(3)]),
    [
      ["sum", 11n, 3n],
      ["product", 11n, 3n],
    ],
  );
  const whole = await config("unbatched");
  assert.equal(whole.number(4), 0n);
  assert.deepEqual(whole.messages(5)[0]?.numbers(4), [2n, 3n]);
});

test("all outputs come without a wish, and those wished for in the wish's order", async () => {
  const all = outputsOf(ok(await system.client.infer("arithmetic", ONE)));
  assert.deepEqual([...all.keys()], ["sum", "product"]);
  assert.deepEqual(floatsOf(all.get("sum")?.raw), [11, 22, 33]);
  assert.deepEqual(floatsOf(all.get("product")?.raw), [10, 40, 90]);
  const both = outputsOf(ok(await system.client.infer("arithmetic", ONE, { outputs: ["product", "sum"] })));
  assert.deepEqual([...both.keys()], ["product", "sum"]);
  const one = outputsOf(ok(await system.client.infer("arithmetic", ONE, { outputs: ["product"] })));
  assert.deepEqual([...one.keys()], ["product"]);
  assert.deepEqual(floatsOf(one.get("product")?.raw), [10, 40, 90]);
});

test("inputs may come in any order, typed, packed or not; answers are raw", async () => {
  for (const packed of [true, false]) {
    const inputs = [typed("b", [2, 3], [1, 1, 1, 2, 2, 2], packed), typed("a", [2, 3], [1, 2, 3, 4, 5, 6], packed)];
    const answer = ok(await system.client.infer("arithmetic", inputs, { packed }));
    assert.deepEqual(floatsOf(outputsOf(answer).get("sum")?.raw), [2, 3, 4, 6, 7, 8]);
    assert.equal(answer.messages(5)[0]?.all(5).length, 0, "no typed contents");
  }
});

test("variable dimensions take any size, and a model without a batch its whole tensor", async () => {
  const wide = await system.client.infer("concat", [raw("a", [2, 1], [1, 2]), raw("b", [2, 2], [3, 4, 5, 6])]);
  const both = outputsOf(ok(wide)).get("both");
  assert.deepEqual(both?.shape, [2, 3]);
  assert.deepEqual(floatsOf(both.raw), [1, 3, 4, 2, 5, 6]);
  const whole = outputsOf(ok(await system.client.infer("unbatched", [raw("x", [2, 3], [1, 2, 3, 4, 5, 6])]))).get("y");
  assert.deepEqual(whole?.shape, [2, 2]);
  assert.deepEqual(floatsOf(whole.raw), [4, 5, 10, 11]);
});

test("an app's versions are served under its name, the champion where no version is named", async () => {
  const row = [raw("features", [1, 3], [1, 0, 0])];
  const probability = 1 / (1 + Math.exp(-1.5));
  for (const version of ["", "7"]) {
    const answer = ok(await system.client.infer("flights", row, { version, id: "id" }));
    assert.equal(answer.text(2), "7");
    assert.equal(answer.text(3), "id");
    assert.ok(Math.abs((floatsOf(outputsOf(answer).get("probability")?.raw)[0] as number) - probability) < 1e-6);
  }
  refused(await system.client.infer("flights", row, { version: "8" }), status.NOT_FOUND, /no version "8" of "flights"/);
});

test("a wrong input is refused by name, with what was expected and what came", async () => {
  const b = ONE[1] as Tensor;
  const cases: [Tensor[], RegExp][] = [
    [[b], /input "a" is missing: expected a FP32 \[-1, 3\], got "b"/],
    [[...ONE, raw("c", [1, 3], [1, 2, 3])], /input "c" is unknown/],
    [[...ONE, b], /input "b": expected it once/],
    [[{ ...b, name: "a", datatype: "INT32" }, b], /input "a": expected datatype FP32, got "INT32"/],
    [[raw("a", [1, 4], [1, 2, 3, 4]), b], /input "a": expected shape \[-1, 3\] .*, got \[1, 4\]/],
    [[raw("a", [3], [1, 2, 3]), b], /input "a": expected shape \[-1, 3\] .*, got \[3\]/],
    [[raw("a", [-1, 3], [1, 2, 3]), b], /got \[-1, 3\]/],
    [[raw("a", [2 ** 40, 3], [1, 2, 3]), b], /got \[1099511627776, 3\]/],
    [[raw("a", [0, 3], []), raw("b", [0, 3], [])], /input "a": expected at least one row/],
    [[raw("a", [1, 3], [1, 2]), b], /input "a": expected 12 bytes \(3 elements of FP32\), got 8/],
    [
      [typed("a", [1, 3], [1, 2]), typed("b", [1, 3], [1, 2, 3])],
      /input "a": expected 3 elements in fp32_contents, got 2/,
    ],
    [
      [{ ...typed("a", [1, 3], []), contents: varints(2, [1, 2, 3]) }, typed("b", [1, 3], [1, 2, 3])],
      /input "a": expected FP32 in fp32_contents, got int_contents/,
    ],
    [
      [raw("a", [1, 3], [1, 2, 3]), raw("b", [2, 3], [1, 2, 3, 4, 5, 6])],
      /input "b": expected 1 rows as in "a", got 2/,
    ],
    [[raw("a", [65, 3], zeros(195)), raw("b", [65, 3], zeros(195))], /expected at most 64 rows in a request, got 65/],
  ];
  for (const [inputs, pattern] of cases) {
    refused(await system.client.infer("arithmetic", inputs), status.INVALID_ARGUMENT, pattern);
  }
  const wish = await system.client.infer("arithmetic", ONE, { outputs: ["quotient"] });
  refused(wish, status.INVALID_ARGUMENT, /output "quotient" is unknown: expected one of sum FP32 \[-1, 3\], product/);
  refused(await system.client.infer("nothing", ONE), status.NOT_FOUND, /no model "nothing" is loaded/);
});

test("raw and typed data in one request are refused, and so are too few raw contents", async () => {
  const [a, b] = ONE as [Tensor, Tensor];
  const both = [{ ...a, contents: floats(6, [1, 2, 3]) }, b];
  refused(await system.client.infer("arithmetic", both), status.INVALID_ARGUMENT, /in contents, got both/);
  const half = [a, typed("b", [1, 3], [1, 2, 3])];
  refused(
    await system.client.infer("arithmetic", half),
    status.INVALID_ARGUMENT,
    /as many raw_input_contents as inputs/,
  );
});

test("BYTES whose lengths do not add up, or that are no text, are refused", async () => {
  const send = (bytes: number[]): Promise<Answer> =>
    system.client.infer("strings", [{ name: "x", datatype: "BYTES", shape: [1, 2], raw: Uint8Array.from(bytes) }]);
  assert.equal((await send([1, 0, 0, 0, 97, 0, 0, 0, 0])).code, status.OK);
  refused(await send([1, 0, 0, 0]), status.INVALID_ARGUMENT, /2 elements of BYTES, which 4 bytes cannot hold/);
  refused(await send([9, 0, 0, 0, 97, 0, 0, 0, 0]), status.INVALID_ARGUMENT, /element 0 says that it has 9 bytes/);
  refused(await send([5, 0, 0, 0, 97, 97, 97, 97, 97]), status.INVALID_ARGUMENT, /got only 1/);
  refused(await send([0, 0, 0, 0, 0, 0, 0, 0, 1]), status.INVALID_ARGUMENT, /got 1 bytes more/);
  refused(await send([1, 0, 0, 0, 255, 0, 0, 0, 0]), status.INVALID_ARGUMENT, /element 0 is no UTF-8 text/);
  refused(await send([1, 0, 0, 0, 0, 0, 0, 0, 0]), status.INVALID_ARGUMENT, /element 0 has a zero byte/);
});

test("a typed number that its datatype does not hold is refused", async () => {
  const input = { name: "x", datatype: "INT8", shape: [1, 2], contents: varints(2, [1, 300]) };
  refused(await system.client.infer("bytes", [input]), status.INVALID_ARGUMENT, /element 1 is 300, which is no INT8/);
});

test("priority and timeout are taken as Triton's clients send them, and refused in another form", async () => {
  for (const priority of [0, 1, 5, 99]) {
    const parameters = { priority: uint64Parameter(priority), timeout: int64Parameter(5_000_000) };
    ok(await system.client.infer("arithmetic", ONE, { parameters }));
  }
  const wrong = await system.client.infer("arithmetic", ONE, { parameters: { priority: text(3, "high") } });
  refused(wrong, status.INVALID_ARGUMENT, /parameter priority: expected a whole number .*, got high in string_param/);
  const sequence = await system.client.infer("arithmetic", ONE, { parameters: { sequence_id: uint64Parameter(1) } });
  refused(sequence, status.INVALID_ARGUMENT, /sequence_id/);
});

test("a stream answers in order; an error is an answer of its own, and the stream goes on", async () => {
  const requests = Array.from({ length: 300 }, (_, index) =>
    inferRequest(index % 10 === 3 ? "nothing" : "arithmetic", [raw("a", [1, 3], [index, 0, 0]), ONE[1] as Tensor], {
      id: `r${index}`,
      parameters: { triton_enable_empty_final_response: number(1, 1) },
    }),
  );
  const { code, messages } = await system.client.stream(requests);
  assert.equal(code, status.OK);
  assert.equal(messages.length, 300);
  for (const [index, answer] of messages.entries()) {
    const response = answer.message(2);
    assert.equal(response.text(3), `r${index}`);
    if (index % 10 === 3) assert.match(answer.text(1), /no model "nothing" is loaded/);
    else {
      assert.equal(answer.text(1), "");
      assert.equal(floatsOf(outputsOf(response).get("sum")?.raw)[0], index + 10);
    }
    const parameters = new Map(response.messages(4).map((entry) => [entry.text(1), entry.message(2).number(1)]));
    assert.equal(parameters.get("triton_final_response"), 1n);
  }
});

test("statistics count requests, rows and runs, with their times by batch size", async () => {
  await system.load("counted", identity("FLOAT"));
  for (const rows of [1, 1, 3]) {
    ok(await system.client.infer("counted", [raw("x", [rows, 2], zeros(2 * rows))]));
  }
  const all = ok(await system.client.call("ModelStatistics"));
  assert.ok(all.messages(1).length >= 6);
  const [counted] = ok(await system.client.call("ModelStatistics", text(1, "counted"))).messages(1) as [Message];
  assert.deepEqual([counted.text(1), counted.text(2)], ["counted", "1"]);
  assert.deepEqual([counted.number(4), counted.number(5)], [5n, 3n]);
  assert.ok(Date.now() - Number(counted.number(3)) < 60_000);
  const stats = counted.message(6);
  assert.equal(stats.message(1).number(1), 3n, "success");
  assert.equal(stats.message(2).number(1), 0n, "fail");
  for (const field of [1, 3, 5]) assert.ok(stats.message(field).number(2) > 0n, `time ${field}`);
  assert.deepEqual(
    counted.messages(7).map((batch) => [batch.number(1), batch.message(3).number(1)]),
    [
      [1n, 2n],
      [3n, 1n],
    ],
  );
  refused(await system.client.call("ModelStatistics", text(1, "x")), status.NOT_FOUND, /no model "x"/);
});

test("bytes that are no message, and methods that are not there, get their status", async () => {
  const nonsense = Uint8Array.of(0x0a, 0xff, 0x01);
  refused(
    await system.client.call("ModelInfer", nonsense),
    status.INVALID_ARGUMENT,
    /not a inference.ModelInferRequest/,
  );
  assert.equal((await system.client.stream([nonsense])).code, status.INVALID_ARGUMENT);
  for (const method of ["SystemSharedMemoryStatus", "TraceSetting", "LogSettings"]) {
    assert.equal((await system.client.call(method)).code, status.UNIMPLEMENTED);
  }
});
