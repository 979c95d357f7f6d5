import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { durationToMs } from "./tile.ts";

const DAY_MS = 86_400_000;

/** Length of the windows in which an app is watched, in milliseconds of event time; a day when the app does not say. */
export const monitoredWindowMs = (app: App): number => durationToMs(app.monitoring?.window) || DAY_MS;
