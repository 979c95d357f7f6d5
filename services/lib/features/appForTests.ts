import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type AcceptedEvent,
  AcceptedEventSchema,
  type Value,
  ValueSchema,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";

/** An app with every kind of window, for the tests of this folder. */
export const APP_TEXT = `
app: parcels
entities:
  depot: [depot]
  lane: [depot, target]
events:
  parcel.sent:
    version: 1
    fields:
      depot:  {type: STRING, required: true}
      target: {type: STRING}
      weight: {type: DOUBLE}
      pieces: {type: INT64}
      fragile: {type: BOOL}
      due: {type: TIMESTAMP}
  parcel.lost:
    version: 1
    fields:
      depot: {type: STRING, required: true}
      late:  {type: BOOL, required: true}
prediction: {at: parcel.sent}
features:
  sent_1m:      {entity: depot, on: parcel.sent, aggregate: COUNT, window: 60s, tile: 5s}
  weight_sum:   {entity: depot, on: parcel.sent, aggregate: SUM, value: event.weight, window: 60s, tile: 5s}
  weight_mean:  {entity: lane, on: parcel.sent, aggregate: MEAN, value: event.weight, window: 60s, tile: 5s}
  weight_mean_long: {entity: lane, on: parcel.sent, aggregate: MEAN, value: event.weight, window: 120s, tile: 5s}
  weight_sd:    {entity: lane, on: parcel.sent, aggregate: STDDEV, value: event.weight, window: 120s, tile: 10s}
  pieces_sd:    {entity: depot, on: parcel.sent, aggregate: STDDEV, value: event.pieces, window: 120s, tile: 10s}
  pieces_max:   {entity: lane, on: parcel.sent, aggregate: MAX, value: event.pieces, window: 60s, tile: 5s}
  pieces_min:   {entity: lane, on: parcel.sent, aggregate: MIN, value: event.pieces, window: 60s, tile: 5s}
  weight_last:  {entity: lane, on: parcel.sent, aggregate: LAST, value: event.weight, window: 60s, tile: 5s}
  fragile_share: {entity: depot, on: parcel.sent, aggregate: MEAN, value: event.fragile, window: 60s, tile: 5s}
  heavy_count:  {entity: depot, on: parcel.sent, aggregate: COUNT, where: event.weight > 5.0, window: 60s, tile: 5s}
  lost_share:   {entity: depot, on: parcel.lost, aggregate: MEAN, value: event.late, window: 120s, tile: 5s}
  targets:      {entity: depot, on: parcel.sent, aggregate: DISTINCT, value: event.target, window: 60s, tile: 5s}
  targets_long: {entity: depot, on: parcel.sent, aggregate: DISTINCT, value: event.target, window: 120s, tile: 5s}
  weights:      {entity: depot, on: parcel.sent, aggregate: DISTINCT, value: event.weight, window: 120s, tile: 10s}
  pieces_kinds: {entity: lane, on: parcel.sent, aggregate: DISTINCT, value: event.pieces, where: event.fragile, window: 60s, tile: 5s}
  fragilities:  {entity: depot, on: parcel.sent, aggregate: DISTINCT, value: event.fragile, window: 60s, tile: 5s}
  due_times:    {entity: depot, on: parcel.sent, aggregate: DISTINCT, value: event.due, window: 60s, tile: 5s}
  due_count:    {entity: depot, on: parcel.sent, aggregate: COUNT, value: event.due, window: 60s, tile: 5s}
  weight:       {at_request: request.weight}
  second:       {at_request: request.occurred_at.getSeconds()}
label: {on: parcel.lost, join: depot, value: event.late, wait: 60s}
model: {task: BINARY, candidates: [LOGISTIC], metric: LOG_LOSS, holdout: 20%}
serving: {deadline: 50ms}
`;

export const appForTests = (text = APP_TEXT): App => parseApp(text);

/** Plain values by field name. */
export type Plain = Readonly<Record<string, string | number | bigint | boolean | Date>>;

const valueOf = (value: Plain[string]): Value => {
  if (value instanceof Date) {
    return create(ValueSchema, { kind: { case: "timestampValue", value: timestampFromMs(value.getTime()) } });
  }
  switch (typeof value) {
    case "string":
      return create(ValueSchema, { kind: { case: "stringValue", value } });
    case "number":
      return create(ValueSchema, { kind: { case: "doubleValue", value } });
    case "bigint":
      return create(ValueSchema, { kind: { case: "int64Value", value } });
    default:
      return create(ValueSchema, { kind: { case: "boolValue", value } });
  }
};

/** Fields from plain values: number is DOUBLE, bigint INT64, Date TIMESTAMP. */
export const fieldsOf = (plain: Plain): Record<string, Value> =>
  Object.fromEntries(Object.entries(plain).map(([name, value]) => [name, valueOf(value)]));

/** An accepted event; known when it happened unless told otherwise. */
export function accepted(type: string, occurredAtMs: number, plain: Plain, knownAtMs = occurredAtMs): AcceptedEvent {
  return create(AcceptedEventSchema, {
    event: { app: "parcels", type, occurredAt: timestampFromMs(occurredAtMs), fields: fieldsOf(plain) },
    knownAt: timestampFromMs(knownAtMs),
  });
}

/** A generator of pseudo-random numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
