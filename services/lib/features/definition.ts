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
import { aggregationOf } from "./aggregation.ts";
import { componentTiles } from "./componentColumns.ts";
import type { Fields } from "./entityKey.ts";
import { DISTINCT_TILES } from "./sketchColumns.ts";
import type { TileKind } from "./tileColumns.ts";
import { hashOf } from "./valueHash.ts";

/** One aggregation of one entity's events into tiles; features with different windows share it. */
export interface SeriesDefinition {
  /** First eight bytes of the SHA-256 of everything that decides what the tiles hold. */
  readonly hash: bigint;
  readonly entity: string;
  readonly on: string;
  /** What an event adds; undefined when it is missing: such an event does not count. */
  readonly measure: (fields: Fields, occurredAtMs: number) => number | undefined;
  readonly where: Expression | undefined;
  readonly kind: TileKind;
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
 * @throws `invalid_argument` when a part of it is missing or the tile does not divide the window.
 */
export function compileWindow(app: App, name: string, feature: Feature): WindowDefinition {
  const path = `features.${name}`;
  const { entity, on, aggregate } = feature;
  const value = feature.value === "" ? undefined : compileFeatureValue(app, feature, `${path}.value`);
  const where =
    feature.where === "" ? undefined : compileEventExpression(app, on, feature.where, ["bool"], `${path}.where`);
  if (value === undefined && aggregate !== Aggregate.COUNT) {
    throw invalid(`${path}.value`, `an expression over event is needed for ${nameOf(aggregate)}`);
  }
  const kind = kindOf(aggregate, value, path);
  const windowMs = windowLengthMs(feature);
  const tileMs = tileLengthMs(feature);
  if (!(tileMs >= 1) || windowMs < tileMs || windowMs % tileMs !== 0) {
    throw invalid(`${path}.tile`, `the window (${windowMs} ms) must be a whole multiple of the tile (${tileMs} ms)`);
  }
  const keyFields = app.entities[entity]?.key ?? [];
  const parts = [entity, keyFields, on, value?.text, value?.type, where?.text, kind.layout, tileMs];
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest().readBigUInt64BE();
  const measure = measureOf(aggregate, value);
  return { series: { hash, entity, on, measure, where, kind, tileMs }, tiles: windowMs / tileMs };
}

function kindOf(aggregate: Aggregate, value: Expression | undefined, path: string): TileKind {
  if (aggregate === Aggregate.DISTINCT) return DISTINCT_TILES;
  const aggregation = aggregationOf(aggregate, value?.type === "double" ? "doubles" : "whole numbers");
  if (aggregation !== undefined) return componentTiles(aggregation);
  throw invalid(
    `${path}.aggregate`,
    `${nameOf(aggregate)} is none of COUNT, SUM, MEAN, MIN, MAX, LAST, STDDEV, DISTINCT`,
  );
}

function measureOf(aggregate: Aggregate, value: Expression | undefined): SeriesDefinition["measure"] {
  if (value === undefined) return () => 1;
  if (aggregate === Aggregate.DISTINCT) return hashOf(value);
  if (value.type !== "bool")
    return (fields, occurredAtMs) => value.evaluate(fields, occurredAtMs) as number | undefined;
  return (fields, occurredAtMs) => {
    const truth = value.evaluate(fields, occurredAtMs);
    return truth === undefined ? undefined : Number(truth);
  };
}

const nameOf = (aggregate: Aggregate): string =>
  Object.entries(Aggregate).find(([, value]) => value === aggregate)?.[0] ?? String(aggregate);

/** An error about one place in the app file. */
export function invalid(field: string, description: string): MillraceError {
  return new MillraceError("invalid_argument", `${field}: ${description}`, {
    violations: [{ field, reason: "invalid_feature", description }],
  });
}
