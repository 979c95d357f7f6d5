import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { TestGateway } from "../../services/inference-gateway/gatewayForTests.ts";
import { InferenceClient } from "./inferenceClient.ts";

/** A gateway that takes models over the wire, and a client that speaks bytes to it. */
export class ConformanceGateway implements AsyncDisposable {
  readonly gateway: TestGateway;
  readonly client: InferenceClient;

  private constructor(gateway: TestGateway, client: InferenceClient) {
    this.gateway = gateway;
    this.client = client;
  }

  static async start(
    models: Readonly<Record<string, Uint8Array>>,
    environment: Record<string, string> = {},
  ): Promise<ConformanceGateway> {
    const gateway = await TestGateway.start({ MODEL_CONTROL: "explicit", ...environment });
    const started = new ConformanceGateway(gateway, new InferenceClient(gateway.server.address));
    for (const [name, onnx] of Object.entries(models)) await started.load(name, onnx);
    return started;
  }

  async load(name: string, onnx: Uint8Array, config?: object): Promise<void> {
    const loaded = await this.client.load(name, onnx, config && JSON.stringify(config));
    assert.equal(loaded.code, status.OK, loaded.details);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.gateway[Symbol.asyncDispose]();
  }
}
