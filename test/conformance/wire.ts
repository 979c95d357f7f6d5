/**
 * Protobuf's wire format, written by hand from its description, so that the suite does not test generated code with itself.
 * A message is written as a list of fields, and read as the list of what came under each number.
 */

export type Bytes = readonly number[];

export function varint(value: bigint | number): Bytes {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return bytes;
}

const tag = (field: number, type: number): Bytes => varint((field << 3) | type);

/** A number as varint: int32, int64, uint32, uint64, bool. */
export const number = (field: number, value: bigint | number): Bytes => [...tag(field, 0), ...varint(value)];
export const bytes = (field: number, value: Uint8Array | Bytes): Bytes => [
  ...tag(field, 2),
  ...varint(value.length),
  ...value,
];
export const text = (field: number, value: string): Bytes => bytes(field, new TextEncoder().encode(value));
export const message = (field: number, ...fields: readonly Bytes[]): Bytes => bytes(field, fields.flat());

const little = (array: Float32Array | Float64Array): Bytes => [
  ...new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
];

/** Repeated numbers, packed or one by one. */
export const varints = (field: number, values: readonly (bigint | number)[], packed = true): Bytes =>
  packed ? bytes(field, values.flatMap(varint)) : values.flatMap((value) => number(field, value));
export const floats = (field: number, values: readonly number[], packed = true): Bytes =>
  packed
    ? bytes(field, little(Float32Array.from(values)))
    : values.flatMap((value) => [...tag(field, 5), ...little(Float32Array.of(value))]);
export const doubles = (field: number, values: readonly number[], packed = true): Bytes =>
  packed
    ? bytes(field, little(Float64Array.from(values)))
    : values.flatMap((value) => [...tag(field, 1), ...little(Float64Array.of(value))]);

export type Field = bigint | Uint8Array;

/** A message that was read: what came under each number, in order. */
export class Message {
  readonly fields = new Map<number, Field[]>();

  constructor(source: Uint8Array) {
    let at = 0;
    const readVarint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = source[at++];
        if (byte === undefined) throw new Error("the message ends inside a number");
        value |= BigInt(byte & 127) << shift;
        if (byte < 128) return value;
      }
    };
    const take = (length: number): Uint8Array => {
      if (at + length > source.length) throw new Error("the message ends inside a field");
      at += length;
      return source.subarray(at - length, at);
    };
    while (at < source.length) {
      const key = Number(readVarint());
      const type = key & 7;
      let value: Field;
      if (type === 0) value = readVarint();
      else if (type === 1) value = take(8);
      else if (type === 2) value = take(Number(readVarint()));
      else if (type === 5) value = take(4);
      else throw new Error(`there is no wire type ${type}`);
      this.fields.set(key >> 3, [...(this.fields.get(key >> 3) ?? []), value]);
    }
  }

  all(field: number): Uint8Array[] {
    return (this.fields.get(field) ?? []) as Uint8Array[];
  }

  texts(field: number): string[] {
    return this.all(field).map((value) => new TextDecoder().decode(value));
  }

  text(field: number): string {
    return this.texts(field)[0] ?? "";
  }

  number(field: number): bigint {
    return (this.fields.get(field)?.[0] as bigint | undefined) ?? 0n;
  }

  /** Repeated varints, packed or not, as signed 64-bit numbers. */
  numbers(field: number): bigint[] {
    return (this.fields.get(field) ?? []).flatMap((value) => {
      if (typeof value === "bigint") return [BigInt.asIntN(64, value)];
      const numbers: bigint[] = [];
      for (let at = 0; at < value.length; ) {
        let number = 0n;
        for (let shift = 0n; ; shift += 7n) {
          const byte = value[at++] as number;
          number |= BigInt(byte & 127) << shift;
          if (byte < 128) break;
        }
        numbers.push(BigInt.asIntN(64, number));
      }
      return numbers;
    });
  }

  messages(field: number): Message[] {
    return this.all(field).map((value) => new Message(value));
  }

  message(field: number): Message {
    return new Message(this.all(field)[0] ?? new Uint8Array());
  }
}
