import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventTypeSchema, type FieldSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { compileRequestRules } from "./requestRules.ts";

const value = (kind: Value["kind"]): Value => create(ValueSchema, { kind });
const text = (content: string): Value => value({ case: "stringValue", value: content });
const double = (content: number): Value => value({ case: "doubleValue", value: content });
const whole = (content: bigint): Value => value({ case: "int64Value", value: content });
const boolean = (content: boolean): Value => value({ case: "boolValue", value: content });
const time = (ms: number): Value => value({ case: "timestampValue", value: timestampFromMs(ms) });

/** The reason for which the field `x` with these rules refuses the value, or undefined when it takes it. */
function refusal(field: MessageInitShape<typeof FieldSchema>, given: Value | undefined): string | undefined {
  const event = create(EventTypeSchema, { version: 1, fields: { x: field } });
  const violations = compileRequestRules(event, "other")(given === undefined ? {} : { x: given });
  for (const { field: path, description } of violations) {
    assert.equal(path, "fields.x");
    assert.ok(description.startsWith("fields.x "), description);
  }
  return violations[0]?.reason;
}

test("a required field has to be there; another may be missing", () => {
  assert.equal(refusal({ type: FieldType.DOUBLE, required: true }, undefined), "field_missing");
  assert.equal(refusal({ type: FieldType.DOUBLE, required: true }, create(ValueSchema)), "field_missing");
  assert.equal(refusal({ type: FieldType.DOUBLE }, undefined), undefined);
});

test("the field by which the truth will come is required, whatever the schema says", () => {
  const event = create(EventTypeSchema, { version: 1, fields: { id: { type: FieldType.STRING } } });
  assert.equal(compileRequestRules(event, "id")({})[0]?.reason, "field_missing");
});

test("every type takes its own values only; a number may come as a whole number", () => {
  const values = { text: text("a"), double: double(1.5), whole: whole(1n), boolean: boolean(true), time: time(0) };
  const taken: [FieldType, (keyof typeof values)[]][] = [
    [FieldType.STRING, ["text"]],
    [FieldType.DOUBLE, ["double", "whole"]],
    [FieldType.INT64, ["whole"]],
    [FieldType.BOOL, ["boolean"]],
    [FieldType.TIMESTAMP, ["time"]],
  ];
  for (const [type, names] of taken) {
    for (const [name, given] of Object.entries(values)) {
      const expected = (names as string[]).includes(name) ? undefined : "field_wrong_type";
      assert.equal(refusal({ type }, given), expected, `${type} ${name}`);
    }
  }
});

test("numbers keep to their range, ends included, and are finite", () => {
  const field = { type: FieldType.DOUBLE, min: -180, max: 2880, unit: "minute" };
  for (const good of [-180, 0, 2880]) assert.equal(refusal(field, double(good)), undefined);
  for (const bad of [-180.001, 2881, Number.NaN, Infinity]) {
    assert.equal(refusal(field, double(bad)), "field_out_of_range");
  }
  assert.equal(refusal({ type: FieldType.DOUBLE }, double(Number.NaN)), "field_out_of_range");
});

test("strings keep to their length in characters, their whole pattern and their list", () => {
  assert.equal(refusal({ type: FieldType.STRING, maxLength: 2 }, text("✈️✈️".slice(0, 1).repeat(2))), undefined);
  assert.equal(refusal({ type: FieldType.STRING, maxLength: 2 }, text("🛫🛬")), undefined);
  assert.equal(refusal({ type: FieldType.STRING, maxLength: 2 }, text("🛫🛬🛫")), "field_too_long");
  assert.equal(refusal({ type: FieldType.STRING, pattern: "[A-Z]{3}" }, text("SFOX")), "field_pattern");
  assert.equal(refusal({ type: FieldType.STRING, pattern: "[A-Z]{3}" }, text("SFO")), undefined);
  assert.equal(refusal({ type: FieldType.STRING, allowed: ["a", "b"] }, text("c")), "field_not_allowed");
});
