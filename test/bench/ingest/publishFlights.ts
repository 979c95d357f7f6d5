import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { applyApp } from "@millrace/app";
import { type Bus, eventSubject } from "@millrace/bus";
import { APP, type Flights, landedEvent, scheduledEvent, Timeline } from "@millrace/flight-delays";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";

const APP_FILE = join(import.meta.dirname, "../../../deploy/apps/flight-delays/app.yaml");
/** Published without waiting for each acknowledgement, as a fast producer does. */
const IN_FLIGHT = 1_000;

/** Makes flight-delays known to ingestion. */
export async function applyFlightDelays(bus: Bus): Promise<void> {
  await applyApp(bus, await readFile(APP_FILE, "utf8"));
}

/** Publishes flights' events as producers do, for an app that has them, up to so many; returns how many it was. @throws what the first refused one was told. */
export async function publishFlights(bus: Bus, flights: Flights, most: number, app = APP): Promise<number> {
  const timeline = new Timeline(flights);
  const sending = new Set<Promise<unknown>>();
  const failures: unknown[] = [];
  let published = 0;
  while (published < most && failures.length === 0) {
    const happening = timeline.next();
    if (happening === undefined) break;
    const made = (happening.kind === "landed" ? landedEvent : scheduledEvent)(flights, happening.flight);
    const event = { ...made, app };
    // The broker knows messages by their ids, whatever the app.
    const sent = bus
      .publishBytes(eventSubject(app, event.type), toBinary(EventSchema, event), { id: `${app}/${event.id}` })
      .catch((error: unknown) => failures.push(error))
      .finally(() => sending.delete(sent));
    sending.add(sent);
    published += 1;
    if (sending.size >= IN_FLIGHT) await Promise.race(sending);
  }
  await Promise.all(sending);
  if (failures.length > 0) throw failures[0];
  return published;
}
