import type { DescMessage } from "@bufbuild/protobuf";

/** An answer that is encoded already, for handlers that know a faster way, or whose answer is what they have stored. */
export class Encoded<Desc extends DescMessage> {
  /** Of which message; never there. */
  declare readonly schema: Desc;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
