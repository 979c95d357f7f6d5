export { APP, flightId, LATE_MINUTES, landedEvent, landingMs, requestFields, scheduledEvent } from "./events.ts";
export { DATA_FROM_MS, DATA_TO_MS, type Flights, readFlights } from "./flights.ts";
export { type Happening, Timeline } from "./timeline.ts";
