import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { alertSubject } from "@millrace/bus";
import type { OutboxEntry } from "@millrace/outbox";
import {
  type Alert,
  type AlertEvidenceSchema,
  AlertSchema,
  AlertState,
  Severity,
} from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { AlertChange } from "./alertPolicy.ts";
import type { Evidence } from "./judgement.ts";

const STATE = { open: AlertState.OPEN, updated: AlertState.UPDATED, resolved: AlertState.RESOLVED } as const;
const SEVERITY = { warning: Severity.WARNING, critical: Severity.CRITICAL } as const;

export function alertMessage(app: string, change: AlertChange): Alert {
  return create(AlertSchema, {
    id: change.id,
    app,
    monitor: change.monitor,
    state: STATE[change.state],
    severity: SEVERITY[change.severity],
    title: change.title,
    advice: change.advice,
    evidence: change.evidence.map(evidenceMessage),
    openedAt: timestampFromMs(change.openedAtMs),
    changedAt: timestampFromMs(change.changedAtMs),
    modelVersion: change.modelVersion,
    causes: [...change.causes],
  });
}

function evidenceMessage(evidence: Evidence): MessageInitShape<typeof AlertEvidenceSchema> {
  const { subject, statistic, value, limit, pValue, importance, picture } = evidence;
  return {
    subject,
    statistic,
    value,
    limit,
    pValue,
    ...(importance === undefined ? {} : { importance }),
    ...(picture === undefined
      ? {}
      : {
          picture: {
            ...picture,
            edges: [...picture.edges],
            reference: [...picture.reference],
            current: [...picture.current],
          },
        }),
  };
}

/** A state of an alert is published once: its id names the alert, the state and the moment. */
export function alertEntry(alert: Alert): OutboxEntry {
  return {
    id: `${alert.id}-${alert.state}-${alert.changedAt?.seconds ?? 0n}`,
    subject: alertSubject(alert.app, alert.monitor),
    body: toBinary(AlertSchema, alert),
  };
}
