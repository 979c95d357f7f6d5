import type { Violation } from "@millrace/runtime";
import type { CheckedEvent } from "./checkedEvent.ts";
import type { NotAccepted } from "./store.ts";

/** What became of a rejected event that was tried again. */
export interface ReplaySettlement {
  readonly rejectedId: number;
  readonly state: "accepted" | "duplicate" | "dropped" | "rejected";
  /** Why it was rejected again. */
  readonly violations: readonly Violation[];
}

/**
 * What became of the replayed events among those that were checked and stored.
 *
 * @param duplicates events that were not stored since another message's event has their id
 */
export function settlementsOf(
  checked: readonly CheckedEvent[],
  duplicates: readonly Pick<NotAccepted, "streamSequence" | "place">[],
): ReplaySettlement[] {
  const key = ({ streamSequence, place }: Pick<NotAccepted, "streamSequence" | "place">) =>
    `${streamSequence}/${place}`;
  const repeated = new Set(duplicates.map(key));
  return checked.flatMap((event): ReplaySettlement[] => {
    const { replay } = event.raw;
    if (replay === undefined) return [];
    const { rejectedId } = replay;
    if (event.kind === "rejected") return [{ rejectedId, state: "rejected", violations: event.violations }];
    if (event.kind === "dropped") return [{ rejectedId, state: "dropped", violations: [] }];
    return [{ rejectedId, state: repeated.has(key(event.raw)) ? "duplicate" : "accepted", violations: [] }];
  });
}
