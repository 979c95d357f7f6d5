import { setTimeout as delay } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { APP, type Flights, flightId, requestFields } from "@millrace/flight-delays";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import {
  PredictionService,
  type PredictResponse,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { Progress } from "./progress.ts";
import { Sending } from "./tracing.ts";

/** A connection stays with one gateway process, and one connection's flow control is shared by all of its calls. */
const CONNECTIONS = 2;
const MAX_IN_FLIGHT = 96;
const RESUME_IN_FLIGHT = 64;
const CALL_TIMEOUT_MS = 2_000;
const GIVE_UP_MS = 60_000;
const RETRY_MS = 100;
/** A gateway that restarts, or is overloaded: the same request id again gets one prediction all the same. */
const WORTH_A_RETRY: ReadonlySet<string> = new Set([
  "unavailable",
  "resource_exhausted",
  "deadline_exceeded",
  "cancelled",
]);

const MADE_BY = new Map<number, string>(Object.entries(MadeBy).map(([name, value]) => [value as number, name]));

/** Asks for a prediction for each departure, as a backend service would. */
export class Predictor implements Disposable {
  readonly #flights: Flights;
  readonly #progress: Progress;
  readonly #clients: readonly RpcClient<typeof PredictionService>[];
  #inFlight = 0;
  #next = 0;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(address: string, flights: Flights, progress: Progress) {
    this.#flights = flights;
    this.#progress = progress;
    this.#clients = Array.from({ length: CONNECTIONS }, () =>
      connectRpc(PredictionService, address, { ownConnection: true }),
    );
  }

  /**
   * Starts the call for a flight; waits only while too many are under way.
   *
   * @param featuresAtMs the features' watermark that the replay has waited for
   */
  predict(flight: number, featuresAtMs: number): Promise<void> | undefined {
    this.#inFlight += 1;
    void this.#untilAnswered(flight, featuresAtMs);
    return this.#inFlight >= MAX_IN_FLIGHT ? this.#below(RESUME_IN_FLIGHT) : undefined;
  }

  /** Resolves when every call has been answered. */
  answered(): Promise<void> {
    return this.#below(1);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]();
  }

  async #below(limit: number): Promise<void> {
    while (this.#inFlight >= limit && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #untilAnswered(flight: number, featuresAtMs: number): Promise<void> {
    const begun = Date.now();
    const sending = new Sending("predict", "call", flightId(this.#flights, flight));
    const metadata: Record<string, string> = sending.traceparent === "" ? {} : { traceparent: sending.traceparent };
    for (;;) {
      const client = this.#clients[this.#next++ % CONNECTIONS] as RpcClient<typeof PredictionService>;
      try {
        const startMs = performance.now();
        const response = await client.predict(this.#request(flight, featuresAtMs), {
          timeoutMs: CALL_TIMEOUT_MS,
          metadata,
        });
        this.#progress.latencies.add(performance.now() - startMs);
        this.#note(response);
        sending.done();
        break;
      } catch (error) {
        if (!(error instanceof MillraceError && WORTH_A_RETRY.has(error.code)) || Date.now() - begun > GIVE_UP_MS) {
          this.#failure = error;
          sending.failed(error);
          break;
        }
        this.#progress.retries += 1;
        await delay(RETRY_MS);
      }
    }
    this.#inFlight -= 1;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #request(flight: number, featuresAtMs: number) {
    return {
      app: APP,
      requestId: flightId(this.#flights, flight),
      occurredAt: timestampFromMs(this.#flights.departureMs[flight] as number),
      fields: requestFields(this.#flights, flight),
      // The gateway may hear of it a moment later than the replay.
      featuresKnownBefore: timestampFromMs(featuresAtMs),
    };
  }

  #note({ prediction, recorded }: PredictResponse): void {
    if (prediction === undefined) throw new MillraceError("internal", "the gateway answered without a prediction");
    const progress = this.#progress;
    const madeBy = MADE_BY.get(prediction.madeBy) ?? "UNSPECIFIED";
    progress.predicted += 1;
    progress.madeBy[madeBy] = (progress.madeBy[madeBy] ?? 0) + 1;
    if (prediction.reason !== "") {
      progress.fallbackReasons[prediction.reason] = (progress.fallbackReasons[prediction.reason] ?? 0) + 1;
    }
    if (!recorded) progress.unrecorded += 1;
    if (!prediction.featuresExact) progress.inexactFeatures += 1;
    progress.predictionIds.add(prediction.id);
    if (madeBy === "CHAMPION") progress.modelVersion = prediction.modelVersion;
  }
}
