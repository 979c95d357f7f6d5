import type { Departure } from "@millrace/rpc";

/** How far a stream may be read ahead of its answers, and when to stop. */
export interface StreamOptions {
  /** Most requests in hand: being answered, or answered and not taken yet. */
  readonly maxInHand: number;
  /** Whether there is room for one more beside those of this stream; one at a time there always is. Asked again after each answer. */
  readonly hasRoom: () => boolean;
  /** Aborted when the caller has gone. */
  readonly signal: Departure;
}

/**
 * Answers a stream's requests at the same time, and gives the answers in the order of the requests. Reads on only while fewer than
 * `maxInHand` are in hand and there is room, so that a caller who does not read its answers is not read from either, and one who asks faster
 * than can be answered is slowed down.
 *
 * @param answer must not fail, and must come to an end when the caller has gone
 */
export async function* answerInOrder<Request, Answer>(
  requests: AsyncIterable<Request>,
  answer: (request: Request) => Promise<Answer>,
  { maxInHand, hasRoom, signal }: StreamOptions,
): AsyncGenerator<Answer> {
  const inHand: Promise<Answer>[] = [];
  const state: { ended: boolean; failure?: { readonly error: unknown } } = { ended: false };
  let wakeReader = (): void => undefined;
  let wakeWriter = (): void => undefined;
  const isFull = (): boolean => inHand.length >= maxInHand || (inHand.length > 0 && !hasRoom());
  const read = async (): Promise<void> => {
    for await (const request of requests) {
      if (state.ended) return;
      inHand.push(answer(request));
      wakeWriter();
      while (isFull() && !state.ended) await new Promise<void>((resolve) => (wakeReader = resolve));
    }
  };
  const stop = (): void => {
    state.ended = true;
    wakeReader();
    wakeWriter();
  };
  signal.addEventListener("abort", stop, { once: true });
  void read()
    .catch((error: unknown) => {
      state.failure = { error };
    })
    .finally(stop);
  try {
    for (;;) {
      const [first] = inHand;
      if (signal.aborted) return;
      if (first !== undefined) {
        yield await first;
        void inHand.shift();
        wakeReader();
      } else if (state.ended) break;
      else await new Promise<void>((resolve) => (wakeWriter = resolve));
    }
    if (state.failure !== undefined) throw state.failure.error;
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
