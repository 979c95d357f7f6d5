import { setTimeout as delay } from "node:timers/promises";
import { type Bus, eventSubject } from "@millrace/bus";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { Progress } from "./progress.ts";
import { Sending } from "./tracing.ts";

/** Publications that may wait for their acknowledgement at the same time. */
const MAX_IN_FLIGHT = 1_000;
/** After that many there is a pause down to here, so that messages leave in bursts: the client makes one write of what comes in one go. */
const RESUME_IN_FLIGHT = 500;
const GIVE_UP_MS = 60_000;
const RETRY_MS = 250;

/** Publishes events and sees to it that each is acknowledged; the same id again is harmless. */
export class Publisher {
  readonly #bus: Bus;
  readonly #progress: Progress;
  #inFlight = 0;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(bus: Bus, progress: Progress) {
    this.#bus = bus;
    this.#progress = progress;
  }

  /** Sends an event; waits only while too many are unacknowledged. @throws what an earlier one failed with */
  publish(event: Event): Promise<void> | undefined {
    this.#inFlight += 1;
    void this.#untilAcknowledged(event);
    return this.#inFlight >= MAX_IN_FLIGHT ? this.#below(RESUME_IN_FLIGHT) : undefined;
  }

  /** Resolves when everything sent so far is acknowledged. */
  flushed(): Promise<void> {
    return this.#below(1);
  }

  async #below(limit: number): Promise<void> {
    while (this.#inFlight >= limit && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #untilAcknowledged(event: Event): Promise<void> {
    const begun = Date.now();
    const sending = new Sending(`publish ${event.type}`, "event", event.id);
    const options = { id: event.id, traceparent: sending.traceparent };
    for (;;) {
      try {
        const subject = eventSubject(event.app, event.type);
        const { duplicate } = await this.#bus.publish(subject, EventSchema, event, options);
        this.#progress.published += 1;
        // Only after a retry: the first try had arrived, its acknowledgement had not.
        if (duplicate) this.#progress.duplicates += 1;
        sending.done();
        break;
      } catch (error) {
        const lasting = !(error instanceof MillraceError && error.code === "unavailable");
        if (lasting || Date.now() - begun > GIVE_UP_MS) {
          this.#failure = error;
          sending.failed(error);
          break;
        }
        await delay(RETRY_MS);
      }
    }
    this.#inFlight -= 1;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
