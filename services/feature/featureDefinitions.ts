import { createHash } from "node:crypto";
import { clone, create, toJsonString } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration, tileLengthMs, windowLengthMs } from "@millrace/app";
import {
  AggregateSchema,
  type App,
  type Feature,
  FeatureSchema,
  LabelSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type FeatureDefinition,
  FeatureDefinitionSchema,
  FeatureKind,
  type LabelDefinition,
  LabelDefinitionSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";

/** An app's features, in the order of their names, as a dataset's manifest keeps them. */
export function definitionsOf(app: App): FeatureDefinition[] {
  return Object.entries(app.features)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, feature]) => define(app, name, feature));
}

function define(app: App, name: string, feature: Feature): FeatureDefinition {
  const exact = clone(FeatureSchema, feature);
  exact.description = "";
  if (feature.atRequest !== "") {
    const hash = hashOf(app.prediction?.at, toJsonString(FeatureSchema, exact));
    return create(FeatureDefinitionSchema, { name, kind: FeatureKind.REQUEST, text: feature.atRequest, hash });
  }
  const keys = app.entities[feature.entity]?.key ?? [];
  const tileMs = tileLengthMs(feature);
  // A tile that the app leaves to its default is the same as one that it names.
  exact.tile = durationFromMs(tileMs);
  const where = feature.where === "" ? "" : ` where ${feature.where}`;
  const over = `over ${formatDuration(windowLengthMs(feature))} in tiles of ${formatDuration(tileMs)}`;
  return create(FeatureDefinitionSchema, {
    name,
    kind: FeatureKind.WINDOW,
    text: `${AggregateSchema.value[feature.aggregate]?.localName}(${feature.value}) of ${feature.on}${where} by ${keys.join(", ")}, ${over}`,
    hash: hashOf(toJsonString(FeatureSchema, exact), keys),
  });
}

/** The label likewise; undefined for an app without one. */
export function labelDefinitionOf({ label }: App): LabelDefinition | undefined {
  if (label === undefined) return undefined;
  // Whom people are asked about, say, changes no row.
  const { on, join, value, wait, early, reports } = label;
  return create(LabelDefinitionSchema, {
    text: `${label.value} of ${label.on}, joined by ${label.join}`,
    hash: hashOf(toJsonString(LabelSchema, create(LabelSchema, { on, join, value, wait, early, reports }))),
    ...(label.wait === undefined ? {} : { wait: label.wait }),
  });
}

const hashOf = (...parts: readonly unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex");
