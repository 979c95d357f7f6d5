import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";

/**
 * Writes AcceptedEvents as protobuf bytes, each preceded by its length: `(length as varint) (AcceptedEvent)`. The event inside is
 * copied as its producer encoded it. By hand, because every event passes here, and decoding and encoding it again would
 * cost ten times as much (https://protobuf.dev/programming-guides/encoding/).
 */
export class AcceptedEncoder {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 1 << 20) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** What was written since the last reset; valid until the next. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    // A new one: what was handed out may still be on its way to the database or the bus.
    this.#buffer = Buffer.allocUnsafe(this.#buffer.length);
    this.#length = 0;
  }

  /** @param knownAtMs whole milliseconds since 1970 */
  write(event: Uint8Array, knownAtMs: number, logSequence: number, traceparent: string, late: boolean): void {
    const seconds = Math.floor(knownAtMs / 1_000);
    const nanos = (knownAtMs - seconds * 1_000) * 1_000_000;
    const secondsSize = seconds === 0 ? 0 : 1 + varintSize(seconds);
    const timeSize = secondsSize + (nanos === 0 ? 0 : 1 + varintSize(nanos));
    const size =
      1 +
      varintSize(event.length) +
      event.length +
      2 +
      timeSize +
      1 +
      varintSize(logSequence) +
      (traceparent === "" ? 0 : 2 + traceparent.length) +
      (late ? 2 : 0);
    this.#reserve(size + 5);
    this.#varint(size);
    this.#byte(0x0a); // event = 1
    this.#varint(event.length);
    this.#buffer.set(event, this.#length);
    this.#length += event.length;
    this.#byte(0x12); // known_at = 2
    this.#byte(timeSize);
    if (secondsSize > 0) {
      this.#byte(0x08);
      this.#varint(seconds);
    }
    if (nanos !== 0) {
      this.#byte(0x10);
      this.#varint(nanos);
    }
    this.#byte(0x18); // log_sequence = 3
    this.#varint(logSequence);
    if (traceparent !== "") {
      this.#byte(0x22); // traceparent = 4, 55 characters of ASCII
      this.#byte(traceparent.length);
      this.#length += this.#buffer.write(traceparent, this.#length, "latin1");
    }
    if (late) {
      this.#byte(0x28); // late = 5
      this.#byte(1);
    }
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + size));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #byte(value: number): void {
    this.#buffer[this.#length] = value;
    this.#length += 1;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#byte(rest);
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

/** Tag and length-delimited wire type of AcceptedEvents.events. */
const EVENTS_TAG = Buffer.from([0x12]);

/** An encoded AcceptedEvents, put together from sized AcceptedEvents (as `AcceptedEncoder` writes them). */
export function encodeBatch(batchId: string, sized: readonly Uint8Array[]): Buffer {
  const id = Buffer.from(batchId, "utf8");
  // Apps and types have at most 48 and 255 characters, so two bytes of varint are enough.
  const idLength = id.length < 0x80 ? [id.length] : [(id.length % 0x80) | 0x80, id.length >>> 7];
  const parts: Uint8Array[] = [Buffer.from([0x0a, ...idLength]), id];
  for (const event of sized) parts.push(EVENTS_TAG, event);
  return Buffer.concat(parts);
}

/** What is put after an encoded AcceptedEvents to set its `complete_before`. */
export const encodeCompleteBefore = (milliseconds: number): Uint8Array =>
  toBinary(AcceptedEventsSchema, create(AcceptedEventsSchema, { completeBefore: timestampFromMs(milliseconds) }));
