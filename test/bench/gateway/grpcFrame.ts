const PREFIX_BYTES = 5;

/** Messages as gRPC sends them, one after the other: each uncompressed behind a zero byte and its length, 32 bits, big-endian. */
export function grpcFrames(...messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32BE(message.length, 1);
      return [prefix, message];
    }),
  );
}
