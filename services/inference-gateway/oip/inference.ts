import { create } from "@bufbuild/protobuf";
import type { Traceparent } from "@millrace/bus";
import {
  type ModelInferRequest,
  type ModelInferResponse,
  ModelInferResponseSchema,
  type ModelStreamInferResponse,
  ModelStreamInferResponseSchema,
} from "@millrace/proto/inference/grpc_service_pb.ts";
import type { Departure } from "@millrace/rpc";
import { type Clock, describeError, MillraceError, systemClock } from "@millrace/runtime";
import type { LoadedModel } from "../loadedModel.ts";
import type { ModelDirectory } from "../modelDirectory.ts";
import type { TensorSignature } from "../modelSignature.ts";
import { answerInOrder } from "../orderedStream.ts";
import { overload } from "../refusal.ts";
import type { TensorValue } from "../tensor.ts";
import type { ThreadLoad } from "../threadLoad.ts";
import type { Outputs } from "../workers/messages.ts";
import { encodeRaw } from "./encodeTensor.ts";
import { readInferRequest } from "./inferRequest.ts";
import { readTerms } from "./requestTerms.ts";

export interface InferenceOptions {
  readonly directory: ModelDirectory;
  /** Monotonic; what deadlines are measured with. */
  readonly clock: Clock;
  /** For calls without a deadline; undefined: `maxMs`. */
  readonly deadlineMs: (model: string) => number | undefined;
  /** Nobody is waited for longer. */
  readonly maxMs: number;
  /** Of requests in hand, together. */
  readonly maxBytes: number;
  /** Of this thread, by everything that it answers. */
  readonly load: ThreadLoad;
}

/** What inference has to know of a call. */
export interface InferenceCall {
  /** Milliseconds since the epoch; Infinity when the caller set none. */
  readonly deadlineMs: number;
  readonly signal: Departure;
  readonly traceparent: Traceparent;
}

/** Requests of one stream in hand at once: enough for a full batch, with the next one behind it. */
const STREAM_IN_HAND = 128;
/** What a request takes besides its tensors. */
const REQUEST_BYTES = 1_024;

/** Answers ModelInfer and ModelStreamInfer: check, queue, run, answer. */
export class Inference {
  readonly #options: InferenceOptions;
  #bytes = 0;

  constructor(options: InferenceOptions) {
    this.#options = options;
  }

  /**
   * @throws `not_found` for an unknown model, `invalid_argument` for what does not fit its signature, `resource_exhausted` under
   *   overload, `deadline_exceeded`.
   */
  async infer(request: ModelInferRequest, call: InferenceCall): Promise<ModelInferResponse> {
    const { load } = this.#options;
    const leftMs = this.#leftMs(request, call);
    if (load.overloaded(1, leftMs)) throw load.refusal();
    const bytes = requestBytes(request);
    this.#admit(bytes);
    load.began(1);
    try {
      return await this.#answer(request, call, leftMs);
    } finally {
      this.#bytes -= bytes;
      load.ended(1);
    }
  }

  /** Answers in order. A request that fails is answered by its error, and the stream goes on. */
  stream(requests: AsyncIterable<ModelInferRequest>, call: InferenceCall): AsyncIterable<ModelStreamInferResponse> {
    const answer = async (request: ModelInferRequest): Promise<ModelStreamInferResponse> => {
      try {
        const inferResponse = await this.infer(request, call);
        markFinal(inferResponse);
        return create(ModelStreamInferResponseSchema, { inferResponse });
      } catch (error) {
        const errorMessage = error instanceof MillraceError ? describeError(error) : "internal error";
        const { modelName, modelVersion, id } = request;
        const inferResponse = create(ModelInferResponseSchema, { modelName, modelVersion, id });
        markFinal(inferResponse);
        return create(ModelStreamInferResponseSchema, { errorMessage, inferResponse });
      }
    };
    const hasRoom = (): boolean => this.#options.load.hasRoom;
    return answerInOrder(requests, answer, { maxInHand: STREAM_IN_HAND, hasRoom, signal: call.signal });
  }

  #admit(bytes: number): void {
    const { maxBytes, load } = this.#options;
    if (this.#bytes > 0 && this.#bytes + bytes > maxBytes) {
      const message = `requests in hand hold ${this.#bytes} of at most ${maxBytes} bytes, and this one has ${bytes}`;
      throw overload(message, load.workMs);
    }
    this.#bytes += bytes;
  }

  #leftMs({ modelName }: ModelInferRequest, call: InferenceCall): number {
    const { deadlineMs, maxMs } = this.#options;
    const own = call.deadlineMs === Infinity ? deadlineMs(modelName) : call.deadlineMs - systemClock.now();
    return Math.min(own ?? maxMs, maxMs);
  }

  async #answer(message: ModelInferRequest, call: InferenceCall, leftMs: number): Promise<ModelInferResponse> {
    const { directory, clock } = this.#options;
    const arrivedAt = clock.now();
    const model = directory.find(message.modelName, message.modelVersion);
    const { priority, queueMs } = readTerms(message.parameters);
    const request = readInferRequest(message, model);
    const pending = model.lane.infer(request, {
      deadline: arrivedAt + leftMs,
      queueBy: queueMs === undefined ? undefined : arrivedAt + queueMs,
      priority,
      traceparent: call.traceparent,
    });
    const { signal } = call;
    if (signal.aborted) pending.cancel();
    else signal.addEventListener("abort", pending.cancel, { once: true });
    try {
      return respond(message, model, request.wanted, await pending.outputs);
    } finally {
      // A stream's signal outlives its requests.
      signal.removeEventListener("abort", pending.cancel);
    }
  }
}

function respond(
  { id }: ModelInferRequest,
  { name, version, signature }: LoadedModel,
  wanted: readonly number[],
  results: Outputs,
): ModelInferResponse {
  const response = create(ModelInferResponseSchema);
  response.modelName = name;
  response.modelVersion = version;
  response.id = id;
  for (const index of wanted) {
    const { name, datatype } = signature.outputs[index] as TensorSignature;
    const { data, dims } = results[index] as TensorValue;
    response.outputs.push({
      $typeName: "inference.ModelInferResponse.InferOutputTensor",
      name,
      datatype: datatype.name,
      shape: dims.map(BigInt),
      parameters: {},
    });
    response.rawOutputContents.push(encodeRaw(data, datatype));
  }
  return response;
}

/** Every request has one answer, so each is its last: `triton_final_response` says so. */
function markFinal({ parameters }: ModelInferResponse): void {
  parameters["triton_final_response"] = {
    $typeName: "inference.InferParameter",
    parameterChoice: { case: "boolParam", value: true },
  };
}

/** About what a request holds in memory. */
function requestBytes({ rawInputContents, inputs }: ModelInferRequest): number {
  let bytes = REQUEST_BYTES;
  for (const { byteLength } of rawInputContents) bytes += byteLength;
  for (const { contents } of inputs) {
    if (contents === undefined) continue;
    const { boolContents, intContents, uintContents, fp32Contents, fp64Contents } = contents;
    const { int64Contents, uint64Contents, bytesContents } = contents;
    for (const numbers of [boolContents, intContents, uintContents, fp32Contents, fp64Contents])
      bytes += 8 * numbers.length;
    bytes += 32 * (int64Contents.length + uint64Contents.length);
    for (const { byteLength } of bytesContents) bytes += 128 + byteLength;
  }
  return bytes;
}
