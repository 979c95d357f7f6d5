import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { EventTypeSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type MeterProvider, metrics } from "@opentelemetry/api";
import { HourQuality } from "./hourQuality.ts";

interface Added {
  readonly counter: string;
  readonly value: number;
  readonly attributes: Readonly<Record<string, string>>;
}

test("missing fields and broken rules are counted by field; a stranger's field makes no series", async (context) => {
  const added: Added[] = [];
  const createCounter = (counter: string) => ({
    add: (value: number, attributes: Added["attributes"]) => void added.push({ counter, value, attributes }),
  });
  // Before the module is loaded: a counter belongs to the meter that is there then.
  metrics.setGlobalMeterProvider({ getMeter: () => ({ createCounter }) } as unknown as MeterProvider);
  context.after(() => metrics.disable());
  const { countQuality } = await import("./qualityMetrics.ts");

  const { fields } = create(EventTypeSchema, {
    fields: { name: { type: FieldType.STRING }, price: { type: FieldType.DOUBLE } },
  });
  const hour = new HourQuality("shop", "order", 0, fields);
  const nameless = create(EventSchema, { fields: { price: { kind: { case: "doubleValue", value: 1 } } } });
  hour.accept(nameless);
  hour.refuse(nameless, [
    { field: "fields.name", reason: "missing_field", description: "" },
    { field: "fields.stranger", reason: "unknown_field", description: "" },
  ]);
  countQuality([hour]);
  const name = { app: "shop", type: "order", field: "name" };
  assert.deepEqual(added, [
    { counter: "millrace.ingestion.field.missing", value: 2, attributes: name },
    { counter: "millrace.ingestion.field.violations", value: 1, attributes: { ...name, reason: "missing_field" } },
  ]);
});
