import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Alert, AlertState, Severity } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { HttpPost } from "./deliver.ts";

/** Alertmanager ends what it hears no more of. Events of a replay are of the past: so times are those of the wall clock. */
const OPEN_FOR_MS = 30 * 86_400_000;

/**
 * An alert's state for POST /api/v2/alerts of Prometheus' Alertmanager (its OpenAPI file, v2): labels name the alert, and are the same in all its
 * states; annotations tell of it; a resolved one ends now.
 */
export function alertmanagerPost(alert: Alert, nowMs: number): HttpPost {
  const { id, app, monitor, severity, title, advice, modelVersion, state, openedAt, causes } = alert;
  const endsAtMs = state === AlertState.RESOLVED ? nowMs : nowMs + OPEN_FOR_MS;
  const one = {
    labels: { alertname: `Millrace_${monitor}`, millrace_alert: id, app, monitor, model_version: modelVersion },
    annotations: {
      summary: title,
      description: advice,
      severity: severity === Severity.CRITICAL ? "critical" : "warning",
      likely_cause: causes.join(", "),
      opened_at: openedAt === undefined ? "" : timestampDate(openedAt).toISOString(),
    },
    ...(state === AlertState.RESOLVED ? {} : { startsAt: new Date(nowMs).toISOString() }),
    endsAt: new Date(endsAtMs).toISOString(),
  };
  return { body: JSON.stringify([one]), headers: { "Content-Type": "application/json" } };
}
