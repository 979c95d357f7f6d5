import { createHash } from "node:crypto";
import {
  compileEventExpression,
  compileFeatureValue,
  type Expression,
  tileLengthMs,
  windowLengthMs,
} from "@millrace/app";
import { Aggregate, type App, type Feature } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { type Aggregation, aggregationOf } from "./aggregation.ts";

/** One aggregation of one entity's events into tiles; features with different windows share it. */
export interface SeriesDefinition {
  /** First eight bytes of the SHA-256 of everything that decides what the tiles hold. */
  readonly hash: bigint;
  readonly entity: string;
  readonly on: string;
  readonly value: Expression | undefined;
  readonly where: Expression | undefined;
  readonly aggregation: Aggregation;
  readonly tileMs: number;
}

/** A series and the window that one feature looks at. */
export interface WindowDefinition {
  readonly series: SeriesDefinition;
  readonly tiles: number;
}

/**
 * Compiles a windowed feature.
 *
 * @throws `invalid_argument` when a part of it is missing or the tile does not divide the window, `unimplemented` for DISTINCT.
 */
export function compileWindow(app: App, name: string, feature: Feature): WindowDefinition {
  const path = `features.${name}`;
  const value = feature.value === "" ? undefined : compileFeatureValue(app, feature, `${path}.value`);
  const where =
    feature.where === ""
      ? undefined
      : compileEventExpression(app, feature.on, feature.where, ["bool"], `${path}.where`);
  if (value === undefined && feature.aggregate !== Aggregate.COUNT) {
    throw invalid(`${path}.value`, `an expression over event is needed for ${nameOf(feature.aggregate)}`);
  }
  if (value?.type === "string" && feature.aggregate !== Aggregate.COUNT) {
    throw invalid(`${path}.value`, `${nameOf(feature.aggregate)} needs a number or a boolean, not a string`);
  }
  const aggregation = aggregationOf(feature.aggregate, value?.type === "double" ? "doubles" : "whole numbers");
  if (aggregation === undefined) {
    const message = `${path}.aggregate: ${nameOf(feature.aggregate)} is not available; use COUNT, SUM, MEAN, MIN, MAX, LAST or STDDEV`;
    throw new MillraceError("unimplemented", message);
  }
  const windowMs = windowLengthMs(feature);
  const tileMs = tileLengthMs(feature);
  if (!(tileMs >= 1) || windowMs < tileMs || windowMs % tileMs !== 0) {
    throw invalid(`${path}.tile`, `the window (${windowMs} ms) must be a whole multiple of the tile (${tileMs} ms)`);
  }
  const { entity, on } = feature;
  const keyFields = app.entities[entity]?.key ?? [];
  const parts = [entity, keyFields, on, value?.text, value?.type, where?.text, aggregation.layout, tileMs];
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest().readBigUInt64BE();
  return { series: { hash, entity, on, value, where, aggregation, tileMs }, tiles: windowMs / tileMs };
}

const nameOf = (aggregate: Aggregate): string =>
  Object.entries(Aggregate).find(([, value]) => value === aggregate)?.[0] ?? String(aggregate);

/** An error about one place in the app file. */
export function invalid(field: string, description: string): MillraceError {
  return new MillraceError("invalid_argument", `${field}: ${description}`, {
    violations: [{ field, reason: "invalid_feature", description }],
  });
}
