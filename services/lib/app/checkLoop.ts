import { type App, FieldType, FieldTypeSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { attempt } from "./attempt.ts";
import { formatDuration } from "./duration.ts";
import { enumName } from "./enumName.ts";
import { compileDropRule, compileLabel, eventTypeOf } from "./expressionsOfApp.ts";
import { monitoredWindowMs } from "./monitoredWindow.ts";
import { checkNoise } from "./noiseRule.ts";
import { listNames, type Problems, show } from "./problems.ts";
import { durationToMs } from "./tile.ts";

const DAY_MS = 86_400_000;

/** Checks when predictions are made, and how the truth finds them. */
export function checkLabel(app: App, problems: Problems): void {
  const at = app.prediction?.at ?? "";
  const { on = "", join = "" } = app.label ?? {};
  const asked = eventTypeOf(app, at);
  const told = eventTypeOf(app, on);
  const events = listNames(Object.keys(app.events));
  if (asked === undefined)
    problems.add("prediction.at", "unknown_event", `${show(at)} is no event of this app; allowed: ${events}`);
  if (told === undefined)
    problems.add("label.on", "unknown_event", `${show(on)} is no event of this app; allowed: ${events}`);
  if (asked !== undefined && at === on) {
    problems.add(
      "label.on",
      "not_later",
      `${on} is also when predictions are made; the truth must come with a later event`,
    );
  }
  const types: (FieldType | undefined)[] = [];
  for (const [type, schema] of [
    [at, asked],
    [on, told],
  ] as const) {
    if (schema === undefined) continue;
    const field = Object.hasOwn(schema.fields, join) ? schema.fields[join] : undefined;
    types.push(field?.type);
    if (field === undefined) {
      problems.add(
        "label.join",
        "unknown_field",
        `${type} has no field ${show(join)}; its fields: ${listNames(Object.keys(schema.fields))}`,
      );
    } else if (!field.required) {
      problems.add(
        "label.join",
        "not_required",
        `${join} must be required in ${type}, or the truth could not find its prediction`,
      );
    } else if (field.type !== FieldType.STRING && field.type !== FieldType.INT64) {
      problems.add(
        "label.join",
        "wrong_type",
        `${join} must be STRING or INT64 in ${type}, not ${enumName(FieldTypeSchema, field.type)}`,
      );
    }
  }
  if (types.length === 2 && types[0] !== undefined && types[1] !== undefined && types[0] !== types[1]) {
    problems.add("label.join", "wrong_type", `${join} has different types in ${at} and ${on}`);
  }
  if (told !== undefined && app.label?.value) attempt(problems, () => compileLabel(app, "label.value"));
}

/** Checks monitoring and ingestion. */
export function checkOperation(app: App, problems: Problems): void {
  const { monitoring, ingestion } = app;
  const within = (path: string, value: number | undefined, low: number, high: number): void => {
    if (value === undefined || (value >= low && value <= high)) return;
    const range = high === Infinity ? `at least ${low}` : `from ${low} to ${high}`;
    problems.add(path, "out_of_range", `must be ${range}, not ${value}`);
  };
  const length = (path: string, value: number | undefined, low: number): void => {
    if (value !== undefined && value < low) {
      problems.add(path, "out_of_range", `must be at least ${formatDuration(low)}, not ${formatDuration(value)}`);
    }
  };
  length("monitoring.window", durationToMs(monitoring?.window), 1_000);
  within("monitoring.max_psi", monitoring?.maxPsi, 0, Infinity);
  within("monitoring.max_log_loss_increase", monitoring?.maxLogLossIncrease, 0, Infinity);
  within("monitoring.max_fallback_share", monitoring?.maxFallbackShare, 0, 1);
  checkWindows(app, problems);
  const future = durationToMs(ingestion?.future);
  if (future !== undefined && future > 365 * DAY_MS) {
    problems.add("ingestion.future", "out_of_range", `must be at most 365d, not ${formatDuration(future)}`);
  }
  if (ingestion?.drop) attempt(problems, () => compileDropRule(app, "ingestion.drop"));
  checkNoise(app, problems);
}

/** Checks what has to hold for how many windows, and which windows are compared. */
function checkWindows(app: App, problems: Problems): void {
  const { hold = 0, holdOf = 0, season } = app.monitoring ?? {};
  if (holdOf > 0 && holdOf < Math.max(hold, 1)) {
    const text = `must be at least monitoring.hold (${hold}): so many of the last ${holdOf} windows cannot be; got ${holdOf}`;
    problems.add("monitoring.hold_of", "out_of_range", text);
  }
  const seasonMs = durationToMs(season);
  const windowMs = monitoredWindowMs(app);
  if (seasonMs !== undefined && (seasonMs <= windowMs || seasonMs % windowMs !== 0)) {
    const [long, short] = [formatDuration(seasonMs), formatDuration(windowMs)];
    const text = `must be a multiple of monitoring.window (${short}), such as ${formatDuration(2 * windowMs)}, not ${long}`;
    problems.add("monitoring.season", "out_of_range", text);
  }
}
