import * as eventLog from "./0001_event_log.ts";

/** By name, in the order in which they are applied. */
export const MIGRATIONS = { "0001_event_log": eventLog };
