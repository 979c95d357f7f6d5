import { compileRequestExpression, type Expression, eventTypeOf } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { compileWindow, invalid, type SeriesDefinition, type WindowDefinition } from "./definition.ts";
import { EntityKeys } from "./entityKey.ts";

/** A series, and how long its tiles are of use. */
export interface SeriesPlan extends SeriesDefinition {
  /** Place among the entity's series. */
  readonly slot: number;
  /** Tiles of the longest window over it. */
  longestWindow: number;
}

/** An entity that has windowed features. */
export interface EntityPlan {
  readonly name: string;
  /** Place among the entities. */
  readonly index: number;
  /** Keys in the bucket `features_<app>`. */
  readonly keys: EntityKeys;
  readonly series: SeriesPlan[];
}

/** Where a feature's value comes from. */
export type FeaturePlan =
  | { readonly kind: "request"; readonly expression: Expression }
  | { readonly kind: "window"; readonly entity: EntityPlan; readonly series: SeriesPlan; readonly tiles: number };

/** What an event of some type changes: for each entity, the series that take it. */
export interface RoutePlan {
  readonly entity: EntityPlan;
  readonly series: readonly SeriesPlan[];
}

/** An app's features, compiled. */
export interface Plan {
  /** Feature names, alphabetical: the order of every vector. */
  readonly names: readonly string[];
  /** One for each name. */
  readonly features: readonly FeaturePlan[];
  readonly entities: readonly EntityPlan[];
  readonly routes: ReadonlyMap<string, readonly RoutePlan[]>;
  /** Names all series together; equal when tiles made by one plan are of use to the other. */
  readonly definitions: string;
}

/** Plans an app's features. @throws as `compileFeatures`. */
export function planFeatures(app: App): Plan {
  const entities = new Map<string, EntityPlan>();
  const names = Object.keys(app.features).sort();
  const features = names.map((name): FeaturePlan => {
    const feature = app.features[name];
    if (feature === undefined) throw invalid(`features.${name}`, "is missing");
    if (feature.atRequest !== "") {
      const expression = compileRequestExpression(app, feature.atRequest, `features.${name}.at_request`);
      return { kind: "request", expression };
    }
    const window = compileWindow(app, name, feature);
    const entity = planEntity(app, name, window, entities);
    const series = planSeries(entity, window);
    return { kind: "window", entity, series, tiles: window.tiles };
  });
  const planned = [...entities.values()];
  return { names, features, entities: planned, routes: planRoutes(planned), definitions: nameDefinitions(planned) };
}

function planEntity(
  app: App,
  feature: string,
  { series: { entity: name, on } }: WindowDefinition,
  entities: Map<string, EntityPlan>,
): EntityPlan {
  const path = `features.${feature}`;
  const keyFields = Object.hasOwn(app.entities, name) ? app.entities[name]?.key : undefined;
  if (keyFields === undefined) throw invalid(`${path}.entity`, `there is no entity ${name}; name it under entities`);
  if (!/^[A-Za-z0-9_-]+$/.test(name) || name === "watermark") {
    throw invalid(`entities.${name}`, "an entity's name has letters, digits, _ and -, and is not `watermark`");
  }
  for (const [type, what] of [
    [on, `${path}.on`],
    [app.prediction?.at ?? "", "prediction.at"],
  ] as const) {
    const fields = eventTypeOf(app, type)?.fields;
    if (fields === undefined) throw invalid(what, `there is no event ${type}; name it under events`);
    const lacking = keyFields.filter((field) => !Object.hasOwn(fields, field));
    if (lacking.length > 0) {
      throw invalid(`${path}.entity`, `${type} has no field ${lacking.join(", ")}, which is in the key of ${name}`);
    }
  }
  let plan = entities.get(name);
  if (plan === undefined) {
    plan = { name, index: entities.size, keys: new EntityKeys(name, keyFields), series: [] };
    entities.set(name, plan);
  }
  return plan;
}

function planSeries(entity: EntityPlan, { series, tiles }: WindowDefinition): SeriesPlan {
  let plan = entity.series.find(({ hash }) => hash === series.hash);
  if (plan === undefined) {
    plan = { ...series, slot: entity.series.length, longestWindow: tiles };
    entity.series.push(plan);
  }
  plan.longestWindow = Math.max(plan.longestWindow, tiles);
  return plan;
}

function planRoutes(entities: readonly EntityPlan[]): Map<string, readonly RoutePlan[]> {
  const routes = new Map<string, RoutePlan[]>();
  for (const entity of entities) {
    for (const [type, series] of Map.groupBy(entity.series, ({ on }) => on)) {
      const known = routes.get(type) ?? [];
      known.push({ entity, series });
      routes.set(type, known);
    }
  }
  return routes;
}

function nameDefinitions(entities: readonly EntityPlan[]): string {
  const parts = entities.flatMap(({ series }) =>
    series.map(({ hash, longestWindow }) => `${hash.toString(16)}/${longestWindow}`),
  );
  return parts.sort().join(" ");
}
