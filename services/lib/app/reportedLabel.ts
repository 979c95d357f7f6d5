import { create } from "@bufbuild/protobuf";
import { type App, EventTypeSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Problems } from "./problems.ts";

/** The event type of labels that are reported, by applications or by people who were asked. */
export const REPORTED_LABEL = "label.reported";

/** Its fields, beside the label's join field. */
export const REPORTED_LABEL_FIELDS = {
  /** The label, as a number. */
  value: "reported_label",
  /** `report` or `review`. */
  source: "reported_source",
  who: "reported_by",
} as const;

/** Gives an app that takes reported labels their event type: its author need not declare what they cannot change. */
export function addReportedLabels(app: App, problems: Problems): void {
  const { label } = app;
  const taken = Object.hasOwn(app.events, REPORTED_LABEL);
  if (taken) problems.add(`events["${REPORTED_LABEL}"]`, "reserved", "the name is Millrace's own; choose another");
  if (taken || label === undefined || !(label.reports || label.review !== undefined)) return;
  const asked = Object.hasOwn(app.events, app.prediction?.at ?? "") ? app.events[app.prediction?.at ?? ""] : undefined;
  const join = asked !== undefined && Object.hasOwn(asked.fields, label.join) ? asked.fields[label.join] : undefined;
  // Whatever is wrong with the join is told elsewhere.
  if (join === undefined) return;
  app.events[REPORTED_LABEL] = create(EventTypeSchema, {
    version: 1,
    fields: {
      [label.join]: { type: join.type, required: true },
      [REPORTED_LABEL_FIELDS.value]: { type: FieldType.DOUBLE, required: true },
      [REPORTED_LABEL_FIELDS.source]: { type: FieldType.STRING, required: true, allowed: ["report", "review"] },
      [REPORTED_LABEL_FIELDS.who]: { type: FieldType.STRING },
    },
  });
}
