/** A raw message, or one event of a message with several: free of what carried it. */
export interface RawEvent {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  /** Of the producer's span; empty when it is not sampled. */
  readonly traceparent: string;
  /** Its message's place in the stream EVENTS. */
  readonly streamSequence: number;
  /** Its place within the message: 0, unless the message holds several events. */
  readonly place: number;
  /** Cut out of a message that holds several events: `data` and `contentType` are its own. */
  readonly isPart?: boolean;
  /** The attributes of a CloudEvent in binary mode, still percent-encoded, by name in lower case and without `ce-`. */
  readonly attributes?: Attributes | undefined;
  /** The message was delivered before, so that what became of it may have been decided already. */
  readonly redelivered?: boolean;
  /** Of a rejected event that is tried again. */
  readonly replay?: ReplayOf | undefined;
}

export type Attributes = Readonly<Record<string, unknown>>;

/** Which rejected event is tried again. */
export interface ReplayOf {
  /** Its sequence in REJECTED. */
  readonly rejectedId: number;
}
