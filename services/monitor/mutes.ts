import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Alert } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { Mute } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { PREDICTION } from "./watchedModel.ts";

/**
 * Whether somebody does not want to be told of an alert now: all that it is about is muted. What follows from the inputs, the model's
 * answers, is not asked about.
 */
export function isMuted(
  alert: Pick<Alert, "app" | "monitor" | "evidence" | "changedAt">,
  mutes: readonly Mute[],
): boolean {
  const atMs = alert.changedAt === undefined ? 0 : timestampMs(alert.changedAt);
  const active = mutes.filter(
    ({ app, monitor, until }) =>
      app === alert.app &&
      (monitor === "" || monitor === alert.monitor) &&
      until !== undefined &&
      timestampMs(until) > atMs,
  );
  const subjects = alert.evidence.map(({ subject }) => subject);
  const asked = subjects.filter((subject) => subject !== PREDICTION);
  return (asked.length === 0 ? subjects : asked).every((subject) =>
    active.some((mute) => mute.subject === "" || mute.subject === subject),
  );
}
