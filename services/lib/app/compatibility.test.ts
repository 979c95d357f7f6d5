import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type App, AppSchema, type EventType, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { checkCompatible } from "./compatibility.ts";
import { parseApp } from "./parseApp.ts";

const BASE = readFileSync(new URL("../../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8").replace(
  "distance: { type: DOUBLE, required: true, unit: mile, min: 1, max: 6000 }",
  "distance: { type: DOUBLE, required: true, unit: mile, min: 1, max: 6000 }\n      carrier: { type: STRING, allowed: [UA, AA], max_length: 8 }",
);

/** The same app with an edit, as the next version of `flight.scheduled`, which comes first in the file. */
const edited = (from: string, to: string): string => {
  assert.ok(BASE.includes(from), from);
  return BASE.replace(from, to).replace("version: 1", "version: 2");
};

const SCHEDULED = 'events["flight.scheduled"]';
const CARRIER = "carrier: { type: STRING, allowed: [UA, AA], max_length: 8 }";
const DISTANCE = "distance: { type: DOUBLE, required: true, unit: mile, min: 1, max: 6000 }";
const ORIGIN = 'origin: { type: STRING, required: true, pattern: "^[A-Z]{3}$" }';

const ALLOWED: Readonly<Record<string, string>> = {
  "an optional field is added": edited(CARRIER, `${CARRIER}\n      gate: { type: STRING }`),
  "an optional field is removed": edited(`\n      ${CARRIER}`, ""),
  "a required field becomes optional": edited(ORIGIN, ORIGIN.replace("required: true", "required: false")),
  "a range grows": edited("max: 6000", "max: 9000"),
  "a range shrinks: the version before keeps its own": edited("max: 6000", "max: 5000"),
  "a pattern changes": edited("[A-Z]{3}", "[A-Z]{3,4}"),
  "a length shrinks": edited("max_length: 8", "max_length: 2"),
  "a value is allowed": edited("[UA, AA]", "[UA, AA, DL]"),
  "a value is allowed no more": edited("[UA, AA]", "[UA]"),
  "a version is left out": edited("max: 6000", "max: 9000").replace("version: 2", "version: 7"),
  "a description, a label's expression or its wait change": BASE.replace(
    "event.delay >= 15.0",
    "event.delay >= 30.0",
  ).replace("wait: 36h", "wait: 48h"),
  "an event type is added": BASE.replace(
    "\nprediction:",
    "\n  flight.cancelled:\n    version: 1\n    fields:\n      flight_id: { type: STRING, required: true }\n\nprediction:",
  ),
  "a feature is defined otherwise: it is calculated anew": BASE.replace("window: 6h", "window: 12h"),
  "policies change": BASE.replace("lateness: 1h", "lateness: 2h").replace(
    "unknown_fields: KEEP",
    "unknown_fields: REJECT",
  ),
};

const REFUSED: Readonly<Record<string, readonly [yaml: string, problem: string]>> = {
  "fields change, and the version does not": [
    BASE.replace("max: 6000", "max: 9000"),
    `${SCHEDULED}.version version_must_grow`,
  ],
  "a field gets another type": [
    edited(DISTANCE, DISTANCE.replace("DOUBLE", "INT64")),
    `${SCHEDULED}.fields.distance type_changed`,
  ],
  "a field gets another unit": [
    edited("unit: mile", "unit: kilometre"),
    `${SCHEDULED}.fields.distance.unit unit_changed`,
  ],
  "an optional field becomes required": [
    edited(CARRIER, CARRIER.replace("type: STRING", "type: STRING, required: true")),
    `${SCHEDULED}.fields.carrier became_required`,
  ],
  "a required field is added": [
    edited(CARRIER, `${CARRIER}\n      gate: { type: STRING, required: true }`),
    `${SCHEDULED}.fields.gate required_field_added`,
  ],
  "an entity gets another key": [
    BASE.replace("origin: [origin]", "origin: [destination]"),
    "entities.origin key_changed",
  ],
  "labels are joined by another field": [BASE.replace("join: flight_id", "join: origin"), "label.join join_changed"],
};

test("the task stays, and so do the places of its classes, after which there may be more", () => {
  const withTask = (task: Task, classes: string[] = []): App => create(AppSchema, { model: { task, classes } });
  const problems = (before: App, after: App): string[] =>
    checkCompatible(before, after).map(({ field, reason }) => `${field} ${reason}`);
  const classes = withTask(Task.MULTICLASS, ["calm", "busy"]);
  assert.deepEqual(problems(withTask(Task.BINARY), withTask(Task.REGRESSION)), ["model.task task_changed"]);
  assert.deepEqual(problems(classes, withTask(Task.MULTICLASS, ["calm", "busy", "full"])), []);
  for (const other of [["busy", "calm"], ["calm"], ["calm", "full"]])
    assert.deepEqual(problems(classes, withTask(Task.MULTICLASS, other)), ["model.classes classes_changed"]);
});

const problemsOf = (yaml: string, earlier?: Record<string, EventType[]>): string[] =>
  checkCompatible(parseApp(BASE), parseApp(yaml), earlier).map(({ field, reason }) => `${field} ${reason}`);

for (const [name, yaml] of Object.entries(ALLOWED)) {
  test(`a change that fits: ${name}`, () => {
    assert.notEqual(yaml, BASE);
    assert.deepEqual(problemsOf(yaml), []);
  });
}

for (const [name, [yaml, problem]] of Object.entries(REFUSED)) {
  test(`a change is refused: ${name}`, () => {
    assert.ok(problemsOf(yaml).includes(problem), problemsOf(yaml).join(", "));
  });
}

test("what is in use stays: event types, and the numbers of their versions", () => {
  const reasons = (before: string, after: string): string[] =>
    checkCompatible(parseApp(before), parseApp(after)).map(({ field, reason }) => `${field} ${reason}`);
  assert.deepEqual(reasons(ALLOWED["an event type is added"] ?? "", BASE), [
    'events["flight.cancelled"] event_removed',
  ]);
  assert.deepEqual(reasons(ALLOWED["a range grows"] ?? "", BASE), [`${SCHEDULED}.version version_fell`]);
});

test("a required field may go once it was optional for a version", () => {
  const required = edited(CARRIER, CARRIER.replace("type: STRING", "type: STRING, required: true"));
  const without = BASE.replace(`\n      ${CARRIER}`, "").replace("version: 1", "version: 3");
  const problems = checkCompatible(parseApp(required), parseApp(without));
  assert.deepEqual(
    problems.map(({ field, reason }) => `${field} ${reason}`),
    [`${SCHEDULED}.fields.carrier field_removed`],
  );
  assert.deepEqual(problemsOf(without), []);
});

test("a field of an earlier version comes back as what it was, or not at all", () => {
  const earlier = parseApp(edited(CARRIER, `${CARRIER}\n      gate: { type: STRING }`)).events[
    "flight.scheduled"
  ] as EventType;
  const again = (gate: string): string[] =>
    problemsOf(edited(CARRIER, `${CARRIER}\n      gate: ${gate}`).replace("version: 2", "version: 3"), {
      "flight.scheduled": [earlier],
    });
  assert.deepEqual(again("{ type: STRING, max_length: 4 }"), []);
  assert.deepEqual(again("{ type: INT64 }"), [`${SCHEDULED}.fields.gate field_reused`]);
});
