import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { durationToMs, REPORTED_LABEL, REPORTED_LABEL_FIELDS } from "@millrace/app";
import { type App, FieldType, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema, type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { LabelReport } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import type { Violation } from "@millrace/runtime";
import type { LabelSource } from "./labelRule.ts";

export const MAX_REPORTS = 1_000;
const ID = /^[!-~]{1,200}$/;
const MAX_ABOUT = 256;
const MAX_WHO = 200;
/** As ingestion has it where the app does not say: what is rejected there is told here. */
const DEFAULT_FUTURE_MS = 5 * 60_000;

/** What an app's reported labels have to be like. */
export interface ReportRules {
  readonly app: string;
  /** `label.reports` */
  readonly taken: boolean;
  readonly join: string;
  readonly joinType: FieldType;
  readonly binary: boolean;
  /** Of MULTICLASS, whose labels are named by their class. */
  readonly classes: readonly string[];
  /** Further ahead of the wall clock than this, a label is refused. */
  readonly futureMs: number;
}

export function reportRules(app: App): ReportRules {
  const join = app.label?.join ?? "";
  return {
    app: app.app,
    taken: app.label?.reports ?? false,
    join,
    joinType: app.events[REPORTED_LABEL]?.fields[join]?.type ?? FieldType.STRING,
    binary: app.model?.task === Task.BINARY,
    classes: app.model?.classes ?? [],
    futureMs: durationToMs(app.ingestion?.future) ?? DEFAULT_FUTURE_MS,
  };
}

/**
 * What is wrong with a reported label, as far as it can be told without looking anything up.
 *
 * @param path of the label in the request, such as `labels[3]`
 * @param nowMs wall clock
 */
export function checkReport(report: LabelReport, rules: ReportRules, path: string, nowMs: number): Violation[] {
  const { id, about, occurredAt, who } = report;
  const violations: Violation[] = [];
  const wrong = (field: string, reason: string, what: string): void => {
    violations.push({ field: `${path}.${field}`, reason, description: `${path}.${field} ${what}` });
  };
  if (!ID.test(id)) wrong("id", "bad_id", `must be 1 to 200 visible ASCII characters without spaces, not ${show(id)}`);
  if (about.case === undefined || about.value === "") {
    wrong("about", "missing", "is required: a request_id, a prediction_id or a join_key");
  } else if (about.value.length > MAX_ABOUT) {
    wrong(fieldOf(about.case), "too_long", `must be at most ${MAX_ABOUT} characters, not ${about.value.length}`);
  } else if (about.case === "joinKey" && rules.joinType === FieldType.INT64 && !isInt64(about.value)) {
    wrong("join_key", "wrong_type", `must be a whole number, as ${rules.join} is an INT64, not ${show(about.value)}`);
  }
  violations.push(...checkLabel(report, rules, path));
  if (occurredAt === undefined) wrong("occurred_at", "missing", "is required: when it came true");
  else if (timestampMs(occurredAt) < 0) wrong("occurred_at", "out_of_range", "must be 1970 or later");
  else if (timestampMs(occurredAt) > nowMs + rules.futureMs) {
    const limit = new Date(nowMs + rules.futureMs).toISOString();
    wrong(
      "occurred_at",
      "future_dated",
      `must be at most ${limit} (ingestion.future), not ${new Date(timestampMs(occurredAt)).toISOString()}`,
    );
  }
  if (who.length > MAX_WHO) wrong("who", "too_long", `must be at most ${MAX_WHO} characters, not ${who.length}`);
  return violations;
}

/** What is wrong with a label's value: a number, of a class its index. @param field its path in the request */
export function checkValue(value: number, { binary, classes }: ReportRules, field: string): Violation[] {
  const wrong = (reason: string, rule: string): Violation[] => [
    { field, reason, description: `${field} must be ${rule}, not ${value}` },
  ];
  if (!Number.isFinite(value)) return wrong("not_a_number", "a number");
  if (classes.length > 0 && classes[value] === undefined)
    return wrong("unknown_class", `the place of a class, from 0 (${classes[0]}) to ${classes.length - 1}`);
  return binary && value !== 0 && value !== 1 ? wrong("out_of_range", "0 or 1") : [];
}

/** What is wrong with a report's label: classes are reported by their names. */
function checkLabel({ value, labelClass }: LabelReport, rules: ReportRules, path: string): Violation[] {
  const { classes } = rules;
  const wrong = (name: string, reason: string, what: string): Violation => {
    const field = `${path}.${name}`;
    return { field, reason, description: `${field} ${what}` };
  };
  if (classes.length === 0) {
    const what = `is for MULTICLASS: leave out ${show(labelClass)}, and give the value`;
    const other = labelClass === "" ? [] : [wrong("label_class", "does_not_fit", what)];
    return [...other, ...checkValue(value, rules, `${path}.value`)];
  }
  const violations: Violation[] = [];
  if (value !== 0) {
    const what = `is for numbers, not for classes: leave out ${value}, and give label_class`;
    violations.push(wrong("value", "does_not_fit", what));
  }
  if (!classes.includes(labelClass)) {
    const what = `must be one of ${classes.join(", ")}, not ${show(labelClass)}`;
    violations.push(wrong("label_class", "unknown_class", what));
  }
  return violations;
}

/** A checked report's label as it is stored: a class as its index. */
export const valueOf = ({ value, labelClass }: LabelReport, { classes }: ReportRules): number =>
  classes.length > 0 ? classes.indexOf(labelClass) : value;

/** A reported label as an event of its app. */
export interface ReportedLabel {
  readonly eventId: string;
  readonly joinKey: string;
  readonly value: number;
  readonly source: Exclude<LabelSource, "event">;
  readonly who: string;
  readonly occurredAtMs: number;
}

export const eventIdOf = (source: ReportedLabel["source"], id: string): string => `${source}/${id}`;

/** The event that tells a label: ingestion takes it as any other. */
export function reportedEvent(label: ReportedLabel, { app, join, joinType }: ReportRules): Event {
  const text = (value: string): Value => create(ValueSchema, { kind: { case: "stringValue", value } });
  const key =
    joinType === FieldType.INT64
      ? create(ValueSchema, { kind: { case: "int64Value", value: BigInt(label.joinKey) } })
      : text(label.joinKey);
  return create(EventSchema, {
    id: label.eventId,
    app,
    type: REPORTED_LABEL,
    schemaVersion: 1,
    occurredAt: { seconds: BigInt(Math.floor(label.occurredAtMs / 1_000)), nanos: (label.occurredAtMs % 1_000) * 1e6 },
    fields: {
      [join]: key,
      [REPORTED_LABEL_FIELDS.value]: create(ValueSchema, { kind: { case: "doubleValue", value: label.value } }),
      [REPORTED_LABEL_FIELDS.source]: text(label.source),
      ...(label.who === "" ? {} : { [REPORTED_LABEL_FIELDS.who]: text(label.who) }),
    },
  });
}

const FIELD_NAMES = { requestId: "request_id", predictionId: "prediction_id", joinKey: "join_key" } as const;
export const fieldOf = (about: keyof typeof FIELD_NAMES): string => FIELD_NAMES[about];

const show = (text: string): string => JSON.stringify(text.slice(0, 80));
const isInt64 = (text: string): boolean =>
  /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
