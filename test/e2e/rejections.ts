import type { Bus } from "@millrace/bus";
import { waitFor } from "@millrace/test-harness";

/** A message that REJECTED keeps. */
export interface Rejection {
  /** Where the message was to be handled. */
  readonly subject: string;
  /** One line that says what is wrong. */
  readonly reason: string;
  readonly data: Uint8Array;
}

/** Waits until a message has been rejected, whoever did it. @param sequence its place in `stream` */
export function rejectionOf(bus: Bus, stream: string, sequence: number): Promise<Rejection> {
  return waitFor(
    async () => {
      const found = (await rejections(bus)).get(`${stream}/${sequence}`) ?? [];
      if (found.length > 1) throw new Error(`it was rejected ${found.length} times`);
      return found[0];
    },
    { deadlineMs: 30_000, everyMs: 100, what: `message ${sequence} of ${stream} to be rejected` },
  );
}

/** Everything on REJECTED, by the stream and the sequence from which it came. */
async function rejections(bus: Bus): Promise<Map<string, Rejection[]>> {
  const { state } = await bus.manager.streams.info("REJECTED");
  const found = new Map<string, Rejection[]>();
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq += 1) {
    const message = await bus.manager.streams.getMessage("REJECTED", { seq });
    if (message === null) continue;
    const { header, data } = message;
    const key = `${header.get("Millrace-Stream")}/${header.get("Millrace-Sequence")}`;
    const rejection = { subject: header.get("Millrace-Subject"), reason: header.get("Millrace-Reason"), data };
    found.set(key, [...(found.get(key) ?? []), rejection]);
  }
  return found;
}
