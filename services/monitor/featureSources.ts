import { compileEventExpression, compileFeatureValue, compileRequestExpression } from "@millrace/app";
import type { App, Feature } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/**
 * The fields of events that each feature is made from: what its expressions read first, then its entity's key. Features that share a field
 * have a common cause when that field goes wrong.
 */
export function featureSources(app: App): Map<string, readonly string[]> {
  return new Map(Object.entries(app.features).map(([name, feature]) => [name, [...new Set(sourcesOf(app, feature))]]));
}

function sourcesOf(app: App, feature: Feature): string[] {
  const { atRequest, on, value, where, entity } = feature;
  const asked = app.prediction?.at ?? "";
  if (atRequest !== "") return compileRequestExpression(app, atRequest).reads.map((field) => `${asked}.${field}`);
  const read = [
    ...(value === "" ? [] : compileFeatureValue(app, feature).reads),
    ...(where === "" ? [] : compileEventExpression(app, on, where, ["bool"]).reads),
    ...(app.entities[entity]?.key ?? []),
  ];
  return read.map((field) => `${on}.${field}`);
}
