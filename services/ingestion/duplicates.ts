import { equals, fromBinary } from "@bufbuild/protobuf";
import { AcceptedEventSchema, type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { PoolClient } from "pg";
import type { AppRows } from "./batch.ts";
import { findKnown } from "./identity.ts";
import type { NotAccepted } from "./store.ts";

/**
 * Those events of a batch whose id another event has: duplicates. A message that the bus delivers again brings none, its event is the
 * one that the log has. An id with other content is told apart: a producer uses it for two things, and the second one is lost.
 */
export async function findDuplicates(
  client: PoolClient,
  rows: AppRows,
  isNew: (logSequence: number) => boolean,
): Promise<NotAccepted[]> {
  const repeated = [...rows.ids.keys()].filter((index) => !isNew(rows.logSequences[index] as number));
  const known = await findKnown(
    client,
    rows.app,
    repeated.map((index) => rows.ids[index] as string),
  );
  const duplicates: NotAccepted[] = [];
  for (const [position, index] of repeated.entries()) {
    const first = known[position];
    const streamSequence = rows.streamSequences[index] as number;
    const place = rows.places[index] as number;
    if (first?.streamSequence === streamSequence && first.place === place) continue;
    const offset = rows.offsets[index] as number;
    const again = eventIn(rows.bytes.subarray(offset, offset + (rows.lengths[index] as number)));
    const same = first === undefined || equalEvents(eventIn(first.accepted), again);
    duplicates.push({
      streamSequence,
      place,
      app: rows.app,
      type: rows.types[index] as string,
      kind: "duplicate",
      reason: same ? "same id" : "same id, different content",
    });
  }
  return duplicates;
}

/** @param sized an AcceptedEvent, preceded by its length as a varint */
function eventIn(sized: Uint8Array): Event | undefined {
  let start = 0;
  while (((sized[start] as number) & 0x80) !== 0) start += 1;
  return fromBinary(AcceptedEventSchema, sized.subarray(start + 1)).event;
}

const equalEvents = (left: Event | undefined, right: Event | undefined): boolean =>
  left !== undefined && right !== undefined && equals(EventSchema, left, right);
