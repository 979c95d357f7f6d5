import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { Datatype } from "@millrace/onnx";
import { TestGateway } from "../../services/inference-gateway/gatewayForTests.ts";
import { InferenceClient, outputsOf, rawOf } from "./inferenceClient.ts";
import { identity } from "./models.ts";
import { type Bytes, bytes, doubles, floats, varints } from "./wire.ts";

/** BYTES in raw form: each element's length as 4 bytes, little-endian, then its bytes. */
function rawStrings(strings: readonly string[]): Uint8Array {
  return Uint8Array.from(
    strings.flatMap((each) => {
      const encoded = new TextEncoder().encode(each);
      return [...new Uint8Array(Uint32Array.of(encoded.length).buffer), ...encoded];
    }),
  );
}

interface Sample {
  readonly datatype: string;
  readonly onnx: Datatype;
  readonly raw: Uint8Array;
  /** Fields of InferTensorContents, by whether they are packed; undefined: only raw. */
  readonly typed?: (packed: boolean) => Bytes;
}

const LARGE = 2n ** 53n + 1n;
const STRINGS = ["", "é☃", "two words", "x".repeat(300)];

/** Two rows of two, with the extremes of each datatype. */
const SAMPLES: readonly Sample[] = [
  {
    datatype: "BOOL",
    onnx: "BOOL",
    raw: Uint8Array.of(1, 0, 0, 1),
    typed: (packed) => varints(1, [1, 0, 0, 1], packed),
  },
  {
    datatype: "UINT8",
    onnx: "UINT8",
    raw: Uint8Array.of(0, 1, 200, 255),
    typed: (p) => varints(4, [0, 1, 200, 255], p),
  },
  {
    datatype: "UINT16",
    onnx: "UINT16",
    raw: rawOf(Uint16Array.of(0, 1, 2, 65_535)),
    typed: (p) => varints(4, [0, 1, 2, 65_535], p),
  },
  {
    datatype: "UINT32",
    onnx: "UINT32",
    raw: rawOf(Uint32Array.of(0, 1, 2, 4_294_967_295)),
    typed: (p) => varints(4, [0, 1, 2, 4_294_967_295], p),
  },
  {
    datatype: "UINT64",
    onnx: "UINT64",
    raw: rawOf(BigUint64Array.of(0n, LARGE, 2n, 2n ** 64n - 1n)),
    typed: (p) => varints(5, [0n, LARGE, 2n, 2n ** 64n - 1n], p),
  },
  {
    datatype: "INT8",
    onnx: "INT8",
    raw: rawOf(Int8Array.of(0, -1, 127, -128)),
    typed: (p) => varints(2, [0, -1, 127, -128], p),
  },
  {
    datatype: "INT16",
    onnx: "INT16",
    raw: rawOf(Int16Array.of(0, -1, 32_767, -32_768)),
    typed: (p) => varints(2, [0, -1, 32_767, -32_768], p),
  },
  {
    datatype: "INT32",
    onnx: "INT32",
    raw: rawOf(Int32Array.of(0, -1, 2_147_483_647, -2_147_483_648)),
    typed: (p) => varints(2, [0, -1, 2_147_483_647, -2_147_483_648], p),
  },
  {
    datatype: "INT64",
    onnx: "INT64",
    raw: rawOf(BigInt64Array.of(0n, -LARGE, LARGE, -(2n ** 63n))),
    typed: (p) => varints(3, [0n, -LARGE, LARGE, -(2n ** 63n)], p),
  },
  { datatype: "FP16", onnx: "FLOAT16", raw: rawOf(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001)) },
  { datatype: "BF16", onnx: "BFLOAT16", raw: rawOf(Uint16Array.of(0x3f80, 0xc000, 0x7f7f, 0x0080)) },
  {
    datatype: "FP32",
    onnx: "FLOAT",
    raw: rawOf(Float32Array.of(0.5, -1e30, Infinity, 1e-30)),
    typed: (p) => floats(6, [0.5, -1e30, Infinity, 1e-30], p),
  },
  {
    datatype: "FP64",
    onnx: "DOUBLE",
    raw: rawOf(Float64Array.of(0.1, -1e300, -0, 1e-300)),
    typed: (p) => doubles(7, [0.1, -1e300, -0, 1e-300], p),
  },
  {
    datatype: "BYTES",
    onnx: "STRING",
    raw: rawStrings(STRINGS),
    typed: () => STRINGS.flatMap((each) => bytes(8, new TextEncoder().encode(each))),
  },
];

for (const mode of ["inline", "worker"]) {
  let gateway: TestGateway;
  let client: InferenceClient;
  before(async () => {
    gateway = await TestGateway.start({ MODEL_CONTROL: "explicit", INFERENCE_MODE: mode });
    client = new InferenceClient(gateway.server.address);
  });
  after(async () => {
    client[Symbol.dispose]();
    await gateway[Symbol.asyncDispose]();
  });

  for (const { datatype, onnx, raw, typed } of SAMPLES) {
    test(`${datatype} comes back as it went, raw at any alignment, and typed (${mode})`, async () => {
      const name = `identity-${datatype}`;
      const loaded = await client.load(name, identity(onnx));
      assert.equal(loaded.code, status.OK, loaded.details);
      const forms = [{ raw }, ...(typed === undefined ? [] : [{ contents: typed(true) }, { contents: typed(false) }])];
      for (const form of forms) {
        // The id's length moves the raw bytes through every alignment.
        for (let length = 0; length < ("raw" in form ? 8 : 1); length += 1) {
          const id = "i".repeat(length);
          const input = { name: "x", datatype, shape: [2, 2], ...form };
          const answer = await client.infer(name, [input], { id, packed: length % 2 === 0 });
          assert.equal(answer.code, status.OK, answer.details);
          assert.equal(answer.message.text(1), name);
          assert.equal(answer.message.text(2), "1");
          assert.equal(answer.message.text(3), id);
          const output = outputsOf(answer.message).get("y");
          assert.deepEqual(output, { datatype, shape: [2, 2], raw });
        }
      }
    });
  }
}
