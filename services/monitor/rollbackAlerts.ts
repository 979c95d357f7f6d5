import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Alert, AlertSchema, AlertState, Severity } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { ModelEvent } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { resolvedTitle } from "./alertText.ts";

/** The monitor of alerts that no window raises, but the registry: a champion did not stand its probation. */
export const ROLLBACK = "rollback";

/** What the registry's test promises at each of its looks: a difference above zero, wrong in so many cases at most. */
const P_VALUE = 0.0125;

/**
 * The alert about a champion that was rolled back by itself.
 *
 * @param sequence the event's place in MODELS
 * @returns undefined for any other event; also for a roll-back that a person made, who knows of it: it has no figures
 */
export function openedBy(event: ModelEvent, sequence: number): Alert | undefined {
  const { app, what, model, reason, rolledBack, figures, occurredAt } = event;
  const { loss_increase: value, tolerance: limit = 0 } = figures;
  if (what !== "rolled_back" || value === undefined) return undefined;
  const failed = `${app}/${rolledBack}`;
  return create(AlertSchema, {
    id: `${app}-${ROLLBACK}-${sequence}`,
    app,
    monitor: ROLLBACK,
    state: AlertState.OPEN,
    severity: Severity.CRITICAL,
    title: reason,
    advice: `${app}/${model?.number} serves again. Compare the two (models compare) and look at what ${failed} was trained on before it is promoted again; a better model is to come from the next training.`,
    evidence: [{ subject: "log_loss", statistic: "log_loss_increase", value, limit, pValue: P_VALUE }],
    openedAt: momentOf(occurredAt),
    changedAt: momentOf(occurredAt),
    modelVersion: failed,
  });
}

/** The alert's end: another champion was promoted. */
export function resolvedBy(alert: Alert, { app, model, occurredAt }: ModelEvent): Alert {
  const title = resolvedTitle(alert.title, `${app}/${model?.number} was promoted`);
  return {
    ...alert,
    state: AlertState.RESOLVED,
    title,
    advice: "Nothing to do.",
    changedAt: momentOf(occurredAt),
  };
}

const momentOf = (time: Timestamp | undefined): Timestamp => time ?? timestampFromMs(0);
