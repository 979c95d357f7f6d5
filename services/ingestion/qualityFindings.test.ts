import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { EventTypeSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema, type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { HourQuality } from "./hourQuality.ts";
import { findOddities } from "./qualityFindings.ts";

const SCHEMA = create(EventTypeSchema, {
  fields: { name: { type: FieldType.STRING, required: true }, price: { type: FieldType.DOUBLE } },
});

const text = (value: string): Value => create(ValueSchema, { kind: { case: "stringValue", value } });
const number = (value: number): Value => create(ValueSchema, { kind: { case: "doubleValue", value } });

const order = (fields: Record<string, string | number>): Event =>
  create(EventSchema, {
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, typeof value === "string" ? text(value) : number(value)]),
    ),
  });

/** An hour of 200 good orders, with some changes to each. */
function hourOf(change: (index: number) => Record<string, string | number>, accepted = 200): HourQuality {
  const hour = new HourQuality("shop", "order", 0, SCHEMA.fields);
  for (let index = 0; index < accepted; index += 1) hour.accept(order(change(index)));
  return hour;
}

const kindsOf = (hour: HourQuality) => findOddities(hour.toMessage(), SCHEMA).map(({ kind, field }) => [kind, field]);
const good = (index: number) => ({ name: `n${index}`, price: index });

test("of good events there is nothing to say", () => {
  assert.deepEqual(kindsOf(hourOf(good)), []);
  assert.deepEqual(kindsOf(hourOf(good, 0)), []);
});

test("a field that never came is told, with what to do; another name may be the reason", () => {
  const hour = hourOf((index) => ({ name: `n${index}`, prize: index }));
  assert.deepEqual(kindsOf(hour), [
    ["unknown_fields", ""],
    ["never_present", "price"],
  ]);
  const [unknown, absent] = findOddities(hour.toMessage(), SCHEMA);
  assert.equal(unknown?.title, "order came with 200 values under names that its schema does not know");
  assert.equal(absent?.title, "order.price is in none of 200 events");
  assert.match(absent?.advice ?? "", /^is it sent under another name\? .*take it out of the app file$/);
});

test("a field that is mostly missing, or always the same, is told once there are enough events", () => {
  const sparse = (index: number) => ({ name: "same", ...(index % 4 === 0 ? { price: index } : {}) });
  assert.deepEqual(kindsOf(hourOf(sparse)), [
    ["constant", "name"],
    ["mostly_missing", "price"],
  ]);
  assert.deepEqual(kindsOf(hourOf(sparse, 99)), []);
  assert.deepEqual(kindsOf(hourOf((index) => ({ name: index % 2 === 0 ? "ab" : "a", price: index }))), []);
});

test("a field that breaks its rules in a hundredth of the events is told, with the command that shows them", () => {
  const broken = (count: number): HourQuality => {
    const hour = hourOf(good, 200 - count);
    for (let index = 0; index < count; index += 1) {
      hour.refuse(order({ price: 1 }), [{ field: "fields.name", reason: "missing_field", description: "" }]);
    }
    return hour;
  };
  assert.deepEqual(kindsOf(broken(1)), []);
  const [finding] = findOddities(broken(2).toMessage(), SCHEMA);
  assert.equal(finding?.title, "order.name breaks its rules in 1.0 % of 200 events (missing_field)");
  const command = "npm run millrace -- events rejected --app shop --type order --reason missing_field";
  assert.equal(finding?.advice, `see what came: ${command}`);
});

test("a type of which everything is rejected is told", () => {
  const hour = new HourQuality("shop", "order", 0, SCHEMA.fields);
  hour.refuse(order({ name: "n", price: 1 }), [{ field: "id", reason: "missing_id", description: "" }]);
  const [finding] = findOddities(hour.toMessage(), SCHEMA);
  assert.equal(finding?.title, "none of 1 event of order was accepted");
});
