const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;

/** The longest varint: of 64 bits. */
const MAX_VARINT = 10;
const FIRST_BYTES = 1 << 16;

/**
 * Writes fields of messages one after the other (https://protobuf.dev/programming-guides/encoding/), for what is encoded so often that it
 * shows. Its memory is used again: take what was written before writing on. Scalars that are zero are left out, as proto3 has it.
 */
export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #view = viewOf(this.#bytes);
  #at = 0;

  /** Where the next byte goes. */
  get length(): number {
    return this.#at;
  }

  /** A copy of everything written; the writer begins again. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
    return taken;
  }

  /** An int32, uint32, bool or enum that is not negative, or an int64 that is a safe integer. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  /** An int64 or uint64. */
  bigint(field: number, value: bigint): void {
    if (value !== 0n) this.presentBigint(field, value);
  }

  /** One that is written when it is zero, too. */
  presentBigint(field: number, value: bigint): void {
    this.#tag(field, VARINT);
    if (value >= 0n && value <= MAX_SAFE) {
      this.#varint(Number(value));
      return;
    }
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 128n; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 127n) | 128;
    this.#bytes[this.#at++] = Number(rest);
  }

  double(field: number, value: number): void {
    if (!Object.is(value, 0)) this.presentDouble(field, value);
  }

  /** An optional double that is there, 0 included. */
  presentDouble(field: number, value: number): void {
    this.#tag(field, FIXED_64);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** A repeated double, packed. */
  doubles(field: number, values: ArrayLike<number>): void {
    const { length } = values;
    if (length === 0) return;
    this.#tag(field, LENGTH);
    this.#varint(length * 8);
    this.#reserve(length * 8);
    for (let index = 0; index < length; index += 1, this.#at += 8) {
      this.#view.setFloat64(this.#at, values[index] as number, true);
    }
  }

  /** A repeated float, packed. */
  floats(field: number, values: ArrayLike<number>): void {
    const { length } = values;
    if (length === 0) return;
    this.#tag(field, LENGTH);
    this.#varint(length * 4);
    this.#reserve(length * 4);
    for (let index = 0; index < length; index += 1, this.#at += 4) {
      this.#view.setFloat32(this.#at, values[index] as number, true);
    }
  }

  string(field: number, text: string): void {
    if (text !== "") this.#string(field, text);
  }

  /** A repeated string: empty ones are there, too. */
  strings(field: number, texts: readonly string[]): void {
    for (const text of texts) this.#string(field, text);
  }

  #string(field: number, text: string): void {
    this.#reserve(MAX_VARINT + 2 + text.length * 3);
    const start = this.begin(field);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 127) {
        at = this.#at + bytes.write(text, this.#at, "utf8");
        break;
      }
      bytes[at++] = code;
    }
    this.#at = at;
    this.end(start);
  }

  /** A message, or the like, that is encoded already. */
  encoded(field: number, value: Uint8Array): void {
    this.#tag(field, LENGTH);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Begins a message: what is written until `end` gets the result is in it. */
  begin(field: number): number {
    this.#tag(field, LENGTH);
    // Room for its length, as it most often is.
    this.#at += 1;
    return this.#at;
  }

  /** Ends a message. Returns where its first byte is now. */
  end(start: number): number {
    const size = this.#at - start;
    const more = varintLength(size) - 1;
    if (more > 0) {
      this.#reserve(more);
      this.#bytes.copyWithin(start + more, start, this.#at);
    }
    this.#at = start - 1;
    this.#varint(size);
    this.#at += size;
    return start + more;
  }

  #tag(field: number, type: number): void {
    this.#reserve(MAX_VARINT + 2);
    this.#varint((field << 3) | type);
  }

  /** @param value a safe integer, not negative */
  #varint(value: number): void {
    this.#reserve(MAX_VARINT);
    const bytes = this.#bytes;
    let rest = value;
    for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) bytes[this.#at++] = (rest % 128) | 128;
    for (; rest > 127; rest >>>= 7) bytes[this.#at++] = (rest & 127) | 128;
    bytes[this.#at++] = rest;
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + more));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 127; rest >>>= 7) length += 1;
  return length;
}
