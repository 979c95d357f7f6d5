import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { TemporaryFolder } from "@millrace/test-harness";
import { logisticModel } from "../../services/inference-gateway/workers/onnxForTests.ts";
import { ConformanceGateway } from "./conformanceGateway.ts";
import { floatsOf, type InferenceClient, outputsOf, rawOf } from "./inferenceClient.ts";
import { arithmetic, identity, rowMixing } from "./models.ts";
import { number, text } from "./wire.ts";

const ROW = [{ name: "x", datatype: "FP32", shape: [1, 2], raw: rawOf(Float32Array.of(3, 4)) }];

async function index(client: InferenceClient, onlyReady = false): Promise<Map<string, [string, string]>> {
  const { message } = await client.call("RepositoryIndex", onlyReady ? number(2, 1) : []);
  return new Map(
    message.messages(1).map((model) => [`${model.text(1)}/${model.text(2)}`, [model.text(3), model.text(4)]]),
  );
}

test("a folder's models are served from the start, those that cannot be are listed with the reason", async () => {
  await using folder = new TemporaryFolder();
  for (const [path, onnx] of [
    ["good/1", identity("FLOAT")],
    ["good/12", identity("FLOAT")],
    ["bad/1", new TextEncoder().encode("no model")],
  ] as const) {
    await mkdir(folder.join(path), { recursive: true });
    await writeFile(folder.join(`${path}/model.onnx`), onnx);
  }
  await using system = await ConformanceGateway.start({}, { MODEL_REPOSITORY: folder.path });
  const { client } = system;
  assert.equal((await client.infer("good", ROW)).message.text(2), "12", "the newest answers");
  assert.equal((await client.infer("good", ROW, { version: "1" })).message.text(2), "1");
  const models = await index(client);
  assert.deepEqual(models.get("good/12"), ["READY", ""]);
  assert.equal(models.get("bad/")?.[0], "UNAVAILABLE");
  assert.match(models.get("bad/")?.[1] ?? "", /not an ONNX model/);
  assert.equal((await index(client, true)).has("bad/"), false);
  await writeFile(folder.join("bad/1/model.onnx"), identity("FLOAT"));
  assert.equal((await client.call("RepositoryModelLoad", text(2, "bad"))).code, status.OK);
  assert.equal((await client.infer("bad", ROW)).code, status.OK);
  assert.equal((await client.call("RepositoryModelLoad", text(2, "ugly"))).code, status.NOT_FOUND);
});

test("a model that was sent serves under its name until it is unloaded", async () => {
  await using system = await ConformanceGateway.start({ sent: identity("FLOAT") });
  const { client } = system;
  assert.deepEqual(floatsOf(outputsOf((await client.infer("sent", ROW)).message).get("y")?.raw), [3, 4]);
  assert.equal((await client.call("RepositoryModelUnload", text(2, "sent"))).code, status.OK);
  assert.equal((await client.infer("sent", ROW)).code, status.NOT_FOUND);
  assert.equal((await index(client)).size, 0);
  assert.equal((await client.call("RepositoryModelUnload", text(2, "sent"))).code, status.NOT_FOUND);
});

test("callers may change nothing unless the setting says so, and an app's models never", async () => {
  await using closed = await ConformanceGateway.start({}, { MODEL_CONTROL: "none" });
  const refusal = await closed.client.load("sent", identity("FLOAT"));
  assert.equal(refusal.code, status.FAILED_PRECONDITION);
  assert.match(refusal.details, /MODEL_CONTROL=explicit/);
  await using system = await ConformanceGateway.start({});
  await system.gateway.serve(await system.gateway.model(1, logisticModel([1, 0, 1])));
  assert.equal((await system.client.load("flights", identity("FLOAT"))).code, status.FAILED_PRECONDITION);
  const unload = await system.client.call("RepositoryModelUnload", text(2, "flights"));
  assert.equal(unload.code, status.FAILED_PRECONDITION);
});

test("what cannot be served is refused with what to do, and what served before goes on", async () => {
  await using system = await ConformanceGateway.start({ model: identity("FLOAT") }, { MODEL_REPOSITORY_MIB: "1" });
  const { client } = system;
  const broken = await client.load("model", new TextEncoder().encode("no model"));
  assert.equal(broken.code, status.INVALID_ARGUMENT);
  assert.match(broken.details, /not an ONNX model/);
  assert.equal((await client.infer("model", ROW)).code, status.OK);
  const odd = await client.load("odd", identity("UNDEFINED"));
  assert.match(odd.details, /"x" is undefined, which cannot be served/);
  const large = await client.load("large", new Uint8Array(2 << 20));
  assert.equal(large.code, status.RESOURCE_EXHAUSTED);
  assert.match(large.details, /MODEL_REPOSITORY_MIB/);
  assert.equal((await client.load("../x", identity("FLOAT"))).code, status.INVALID_ARGUMENT);
  assert.equal((await client.load("c", identity("FLOAT"), "{")).code, status.INVALID_ARGUMENT);
});

test("a configuration can set the maximum batch size, and 0 turns batching off", async () => {
  await using system = await ConformanceGateway.start({});
  await system.load("small", arithmetic(), { max_batch_size: 4 });
  await system.load("single", arithmetic(), { max_batch_size: 0 });
  const size = async (name: string): Promise<bigint> =>
    (await system.client.call("ModelConfig", text(1, name))).message.message(1).number(4);
  assert.equal(await size("small"), 4n);
  assert.equal(await size("single"), 0n);
});

test("a model whose rows depend on each other is served unbatched, and says why", async () => {
  await using system = await ConformanceGateway.start({ mixing: rowMixing() });
  const config = (await system.client.call("ModelConfig", text(1, "mixing"))).message.message(1);
  assert.equal(config.number(4), 0n);
  const parameters = new Map(config.messages(14).map((entry) => [entry.text(1), entry.message(2).text(1)]));
  assert.match(parameters.get("batching") ?? "", /unbatched: y of row 0 in a batch of 8 gets/);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, value) =>
      system.client.infer("mixing", [
        { name: "x", datatype: "FP32", shape: [2, 2], raw: rawOf(Float32Array.of(value, 0, 0, value)) },
      ]),
    ),
  );
  for (const [value, { message }] of answers.entries()) {
    assert.deepEqual(
      floatsOf(outputsOf(message).get("y")?.raw),
      [value / 2, -value / 2, -value / 2, value / 2].map((x) => x + 0),
    );
  }
});
