import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Bytes, bytes, Message, message, number, text, varints } from "./wire.ts";

export interface Answer {
  readonly code: status;
  readonly details: string;
  /** Empty when the call failed. */
  readonly message: Message;
}

export interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** Fields of an InferTensorContents. */
  readonly contents?: Bytes;
  readonly raw?: Uint8Array;
}

export interface InferOptions {
  readonly version?: string;
  readonly id?: string;
  readonly outputs?: readonly string[];
  /** Each the fields of an InferParameter. */
  readonly parameters?: Readonly<Record<string, Bytes>>;
  /** Shapes unpacked, as old clients send them. */
  readonly packed?: boolean;
}

/** ModelInferRequest: model_name 1, model_version 2, id 3, parameters 4, inputs 5, outputs 6, raw_input_contents 7. */
export function inferRequest(model: string, inputs: readonly Tensor[], options: InferOptions = {}): Uint8Array {
  const { version = "", id = "", outputs = [], parameters = {}, packed = true } = options;
  return Uint8Array.from([
    ...text(1, model),
    ...(version === "" ? [] : text(2, version)),
    ...(id === "" ? [] : text(3, id)),
    ...Object.entries(parameters).flatMap(([name, fields]) => message(4, text(1, name), message(2, fields))),
    ...inputs.flatMap(({ name, datatype, shape, contents }) =>
      message(
        5,
        text(1, name),
        text(2, datatype),
        varints(3, shape, packed),
        contents === undefined ? [] : message(5, contents),
      ),
    ),
    ...outputs.flatMap((name) => message(6, text(1, name))),
    ...inputs.flatMap(({ raw }) => (raw === undefined ? [] : bytes(7, raw))),
  ]);
}

/** Talks bytes to `inference.GRPCInferenceService`. */
export class InferenceClient implements Disposable {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  call(
    method: string,
    request: Uint8Array | Bytes = [],
    timeoutMs = 20_000,
    { service = "inference.GRPCInferenceService", signal }: { service?: string; signal?: AbortSignal | undefined } = {},
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const call = this.#client.makeUnaryRequest(
        `/${service}/${method}`,
        (value: Buffer) => value,
        (value: Buffer) => value,
        Buffer.from(request),
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, value?: Buffer) =>
          resolve({
            code: error?.code ?? status.OK,
            details: error?.details ?? "",
            message: new Message(error === null ? (value as Buffer) : new Uint8Array()),
          }),
      );
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  infer(
    model: string,
    inputs: readonly Tensor[],
    options?: InferOptions,
    timeoutMs?: number,
    signal?: AbortSignal,
  ): Promise<Answer> {
    return this.call("ModelInfer", inferRequest(model, inputs, options), timeoutMs, { signal });
  }

  /** Sends all requests, and reads the stream to its end. */
  async stream(
    requests: readonly Uint8Array[],
    { method = "ModelStreamInfer", service = "inference.GRPCInferenceService", timeoutMs = 20_000 } = {},
  ): Promise<{ code: status; messages: Message[] }> {
    const call = this.#client.makeBidiStreamRequest(
      `/${service}/${method}`,
      (value: Buffer) => value,
      (value: Buffer) => value,
      new Metadata(),
      { deadline: Date.now() + timeoutMs },
    );
    const messages: Message[] = [];
    call.on("data", (value: Buffer) => messages.push(new Message(value)));
    const ended = new Promise<status>((resolve) => {
      call.on("error", () => undefined);
      call.on("status", ({ code }: { code: status }) => resolve(code));
    });
    for (const request of requests) call.write(Buffer.from(request));
    call.end();
    return { code: await ended, messages };
  }

  /** RepositoryModelLoad: model_name 2, parameters 3. ModelRepositoryParameter: string_param 3, bytes_param 4. */
  load(name: string, onnx: Uint8Array, config?: string): Promise<Answer> {
    return this.call("RepositoryModelLoad", [
      ...text(2, name),
      ...message(3, text(1, "file:1/model.onnx"), message(2, bytes(4, onnx))),
      ...(config === undefined ? [] : message(3, text(1, "config"), message(2, text(3, config)))),
    ]);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** ModelInferResponse: outputs 5 (name 1, datatype 2, shape 3), raw_output_contents 6. */
export function outputsOf(answer: Message): Map<string, { datatype: string; shape: number[]; raw: Uint8Array }> {
  const raws = answer.all(6);
  return new Map(
    answer.messages(5).map((output, index) => [
      output.text(1),
      {
        datatype: output.text(2),
        shape: output.numbers(3).map(Number),
        raw: new Uint8Array(raws[index] as Uint8Array),
      },
    ]),
  );
}

export const rawOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).slice();
export const floatsOf = (raw: Uint8Array | undefined): number[] => [
  ...new Float32Array(new Uint8Array(raw ?? []).buffer),
];

/** InferParameter: bool_param 1, int64_param 2, string_param 3, double_param 4, uint64_param 5. */
export const int64Parameter = (value: number): Bytes => number(2, value);
export const uint64Parameter = (value: number): Bytes => number(5, value);
