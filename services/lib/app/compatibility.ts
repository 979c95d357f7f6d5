import { equals } from "@bufbuild/protobuf";
import {
  type App,
  type EventType,
  EventTypeSchema,
  type Field,
  FieldTypeSchema,
  TaskSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Violation } from "@millrace/runtime";
import { enumName } from "./enumName.ts";
import { joinPath, Problems } from "./problems.ts";
import { REPORTED_LABEL } from "./reportedLabel.ts";

/**
 * What speaks against replacing a running app by a new version: events that are stored already, and producers that are not
 * updated yet, must keep their meaning. Empty when nothing does.
 *
 * Rules of a field's value (range, pattern, length, allowed values) may change either way: each version keeps its own.
 *
 * @param earlier by event type, the schemas of versions before the running one, which producers may still write
 */
export function checkCompatible(
  old: App,
  next: App,
  earlier: Readonly<Record<string, readonly EventType[]>> = {},
): readonly Violation[] {
  const problems = new Problems();
  for (const [type, before] of Object.entries(old.events)) {
    const after = Object.hasOwn(next.events, type) ? next.events[type] : undefined;
    const path = joinPath("events", type);
    if (after === undefined) {
      // Nobody but Millrace publishes it, and what is stored keeps its meaning.
      if (type === REPORTED_LABEL) continue;
      problems.add(path, "event_removed", `${type} is in use; keep it, and let its producers stop first`);
    } else {
      checkEventType(path, before, after, problems);
      checkReturningFields(path, earlier[type] ?? [], before, after, problems);
    }
  }
  for (const [name, before] of Object.entries(old.entities)) {
    const after = Object.hasOwn(next.entities, name) ? next.entities[name] : undefined;
    if (after !== undefined && before.key.join(" ") !== after.key.join(" ")) {
      const change = `${before.key.join(", ")} became ${after.key.join(", ")}`;
      problems.add(
        joinPath("entities", name),
        "key_changed",
        `the key cannot change (${change}); add an entity with another name, and move the features to it`,
      );
    }
  }
  if (old.label !== undefined && next.label !== undefined && old.label.join !== next.label.join) {
    problems.add(
      "label.join",
      "join_changed",
      `predictions made so far wait under ${old.label.join}; for ${next.label.join} apply a new app`,
    );
  }
  checkTask(old, next, problems);
  return problems.violations;
}

/** Labels and answers are stored as numbers, which must keep their meaning. */
function checkTask({ model: old }: App, { model: next }: App, problems: Problems): void {
  if (old === undefined || next === undefined) return;
  if (old.task !== next.task) {
    const change = `${enumName(TaskSchema, old.task)} became ${enumName(TaskSchema, next.task)}`;
    problems.add(
      "model.task",
      "task_changed",
      `what was answered so far is of another kind (${change}); apply a new app`,
    );
  } else if (old.classes.some((name, index) => next.classes[index] !== name)) {
    const change = `${old.classes.join(", ")} became ${next.classes.join(", ")}`;
    const description = `labels are stored by the place of their class (${change}); add classes at the end only, or apply a new app`;
    problems.add("model.classes", "classes_changed", description);
  }
}

function checkEventType(path: string, before: EventType, after: EventType, problems: Problems): void {
  if (after.version < before.version) {
    problems.add(`${path}.version`, "version_fell", `must not fall from ${before.version} to ${after.version}`);
  } else if (after.version === before.version && !equals(EventTypeSchema, before, after)) {
    problems.add(
      `${path}.version`,
      "version_must_grow",
      `the fields changed, so the version must grow: write ${before.version + 1}`,
    );
  }
  for (const [name, was] of Object.entries(before.fields)) {
    const fieldPath = joinPath(`${path}.fields`, name);
    const is = Object.hasOwn(after.fields, name) ? after.fields[name] : undefined;
    if (is === undefined) {
      if (was.required)
        problems.add(fieldPath, "field_removed", "producers still send it; keep it, with required: false");
    } else if (is.type !== was.type) {
      problems.add(
        fieldPath,
        "type_changed",
        `cannot change from ${enumName(FieldTypeSchema, was.type)} to ${enumName(FieldTypeSchema, is.type)}; add a field with another name`,
      );
    } else if (is.unit !== was.unit) {
      problems.add(
        `${fieldPath}.unit`,
        "unit_changed",
        `cannot change from ${was.unit || "none"} to ${is.unit || "none"}: the same numbers would mean something else; add a field with another name`,
      );
    } else if (is.required && !was.required) {
      problems.add(fieldPath, "became_required", "producers of the old version may leave it out; keep required: false");
    }
  }
  for (const [name, is] of Object.entries(after.fields)) {
    if (is.required && !Object.hasOwn(before.fields, name)) {
      problems.add(
        joinPath(`${path}.fields`, name),
        "required_field_added",
        "producers of the old version do not send it; add it with required: false",
      );
    }
  }
}

/** A field that an earlier version had, and the running one has not, comes back as what it was: events with it are stored. */
function checkReturningFields(
  path: string,
  earlier: readonly EventType[],
  before: EventType,
  after: EventType,
  problems: Problems,
): void {
  for (const [name, is] of Object.entries(after.fields)) {
    if (Object.hasOwn(before.fields, name)) continue;
    const last = earlier.findLast(({ fields }) => Object.hasOwn(fields, name));
    const was = last?.fields[name];
    if (last === undefined || was === undefined || (was.type === is.type && was.unit === is.unit)) continue;
    const meaning = (field: Field): string =>
      `${enumName(FieldTypeSchema, field.type)}${field.unit && ` in ${field.unit}`}`;
    problems.add(
      joinPath(`${path}.fields`, name),
      "field_reused",
      `version ${last.version} had it as ${meaning(was)}, not ${meaning(is)}; add a field with another name`,
    );
  }
}
