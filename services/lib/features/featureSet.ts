import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { EntityState } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import type { Fields } from "./entityKey.ts";
import { decodeEntity, type EntityTiles } from "./entityState.ts";
import { HeldSeries, type MissingSeries } from "./heldSeries.ts";
import { type EntityPlan, type FeaturePlan, type Plan, planFeatures } from "./plan.ts";

/** What a prediction is asked about. */
export interface FeatureRequest {
  /** Event time, milliseconds since the epoch. */
  readonly occurredAtMs: number;
  /** The fields of the app's prediction event. */
  readonly fields: Fields;
}

/**
 * An app's features, compiled. Windows are of whole tiles: with tile length g, a read at time T covers the tiles
 * [floor(T/g) - window/g, floor(T/g)), and of these what was known before tile floor(T/g).
 */
export class FeatureSet {
  readonly app: App;
  /** Alphabetical: the order of a vector. */
  readonly names: readonly string[];
  /** Equal for two apps whose stored tiles mean the same. */
  readonly definitions: string;
  readonly plan: Plan;
  readonly #decoded = new WeakMap<EntityState, EntityTiles>();

  constructor(app: App, plan: Plan) {
    this.app = app;
    this.plan = plan;
    this.names = plan.names;
    this.definitions = plan.definitions;
  }

  /** Event types that change features. */
  get eventTypes(): readonly string[] {
    return [...this.plan.routes.keys()];
  }

  /** Length of the longest window, in milliseconds: how far back events can matter to a read. */
  get longestWindowMs(): number {
    const lengths = this.plan.entities.flatMap(({ series }) =>
      // A read in the middle of a tile reaches back that much further.
      series.map(({ tileMs, longestWindow }) => tileMs * (longestWindow + 1)),
    );
    return Math.max(0, ...lengths);
  }

  /**
   * Whether a read as of this time is exact, from states of which reads at `exactFromMs` and later are: a `FeatureEngine` tells that time,
   * and drops what only earlier reads would need. Features of the request alone are always exact.
   */
  isExact(asOfMs: number, exactFromMs: number): boolean {
    return asOfMs >= exactFromMs || this.plan.entities.length === 0;
  }

  /** The series that states made by an engine with these `definitions` do not have whole, and their features. */
  missing(definitions: string): readonly MissingSeries[] {
    return HeldSeries.named(this.plan, definitions).missing;
  }

  /** A read as of `asOfMs` counts only events known before this time: the beginning of the youngest tile that it leaves out. */
  knownBeforeMs(asOfMs: number): number {
    let latest = -Infinity;
    for (const { series } of this.plan.entities) {
      for (const { tileMs } of series) latest = Math.max(latest, Math.floor(asOfMs / tileMs) * tileMs);
    }
    return latest;
  }

  /** Keys, in the bucket `features_<app>`, of the entities that a request is about; entities with a missing key field are left out. */
  entityKeys(fields: Fields): string[] {
    const keys: string[] = [];
    for (const plan of this.plan.entities) {
      const key = plan.keys.of(fields);
      if (key !== undefined) keys.push(key);
    }
    return keys;
  }

  /**
   * A request's features in the order of `names`; NaN is missing. A state is decoded at its first use and kept as long as the
   * object lives, so hand in the same object while it has not changed.
   *
   * @param lookup the state of an entity by its key; undefined for one without events
   */
  vector(request: FeatureRequest, lookup: (key: string) => EntityState | undefined): Float64Array {
    return this.read(request, (key, plan) => {
      const state = lookup(key);
      return state === undefined ? undefined : this.#decode(plan, state);
    });
  }

  /** The one calculation of features, for all who have tiles. */
  read(request: FeatureRequest, tilesOf: (key: string, plan: EntityPlan) => EntityTiles | undefined): Float64Array {
    const { features, entities } = this.plan;
    const tiles = entities.map((plan) => {
      const key = plan.keys.of(request.fields);
      return key === undefined ? null : tilesOf(key, plan);
    });
    const vector = new Float64Array(features.length);
    for (let index = 0; index < features.length; index += 1) {
      vector[index] = this.#feature(features[index] as FeaturePlan, request, tiles);
    }
    return vector;
  }

  /** @param tiles by entity: null when the request does not identify it, undefined when it has no events */
  #feature(
    feature: FeaturePlan,
    { occurredAtMs, fields }: FeatureRequest,
    tiles: readonly (EntityTiles | null | undefined)[],
  ): number {
    if (feature.kind === "request") {
      const value = feature.expression.evaluate(fields, occurredAtMs);
      return value === undefined ? Number.NaN : Number(value);
    }
    const { kind, tileMs, slot } = feature.series;
    const ofEntity = tiles[feature.entity.index];
    if (ofEntity === null) return Number.NaN;
    const columns = ofEntity?.[slot];
    if (columns === undefined) return kind.empty;
    const now = Math.floor(occurredAtMs / tileMs);
    return columns.read(now - feature.tiles, now);
  }

  #decode(plan: EntityPlan, state: EntityState): EntityTiles {
    let tiles = this.#decoded.get(state);
    if (tiles === undefined) {
      tiles = decodeEntity(plan, state);
      this.#decoded.set(state, tiles);
    }
    return tiles;
  }
}

/**
 * Compiles an app's features.
 *
 * @throws `invalid_argument` naming the path in the app file and what is wrong.
 */
export const compileFeatures = (app: App): FeatureSet => new FeatureSet(app, planFeatures(app));

/**
 * Only the features whose series are missing: what a backfill has to calculate. It needs the events that became known within
 * `longestWindowMs` of the set and the look-back before the moment at which its series are adopted, and nothing older.
 */
export function compileMissing({ app }: FeatureSet, missing: readonly MissingSeries[]): FeatureSet {
  const names = new Set(missing.flatMap(({ features }) => features));
  const features = Object.fromEntries(Object.entries(app.features).filter(([name]) => names.has(name)));
  return compileFeatures({ ...app, features });
}
