import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { EntityState } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { DueEntities } from "./dueEntities.ts";
import { entityKey, type Fields } from "./entityKey.ts";
import { decodeEntity, type EntityTiles, emptyTiles, encodeEntity } from "./entityState.ts";
import type { FeatureRequest, FeatureSet } from "./featureSet.ts";
import type { EntityPlan, RoutePlan, SeriesPlan } from "./plan.ts";

/** An entity that the engine keeps. */
export interface KeptEntity {
  readonly key: string;
  readonly plan: EntityPlan;
  readonly tiles: EntityTiles;
  /** When the first change that was not taken yet becomes visible to readers, in milliseconds; Infinity when there is none. */
  dueAtMs: number;
}

export interface EngineOptions {
  /** Reads are exact as far as this behind the stream's clock; older tiles are dropped. Default: an hour. */
  readonly lookBackMs?: number;
}

const DEFAULT_LOOK_BACK_MS = 3_600_000;

/**
 * Turns events into tiles. Pure: no I/O and no clock but the events' own. The order in which events are applied does not matter to
 * reads (see `aggregationOf` for doubles), only which were applied.
 */
export class FeatureEngine {
  readonly set: FeatureSet;
  readonly #lookBackMs: number;
  readonly #entities = new Map<string, KeptEntity>();
  readonly #due = new DueEntities<KeptEntity>();
  #knownAtMs = -Infinity;

  constructor(set: FeatureSet, { lookBackMs = DEFAULT_LOOK_BACK_MS }: EngineOptions = {}) {
    this.set = set;
    this.#lookBackMs = lookBackMs;
  }

  /** The stream's clock: the latest known_at applied; -Infinity before the first. */
  get knownAtMs(): number {
    return this.#knownAtMs;
  }

  get size(): number {
    return this.#entities.size;
  }

  /** Applies an event. The caller sees to it that each is applied once. */
  apply({ event, knownAt }: AcceptedEvent): void {
    if (event?.occurredAt === undefined) return;
    const occurredAtMs = timestampMs(event.occurredAt);
    const knownAtMs = knownAt === undefined ? occurredAtMs : Math.max(occurredAtMs, timestampMs(knownAt));
    this.applyFields(event.type, event.fields, occurredAtMs, knownAtMs);
  }

  /** Applies an event that was taken apart already. */
  applyFields(type: string, fields: Fields, occurredAtMs: number, knownAtMs: number): void {
    if (knownAtMs > this.#knownAtMs) this.#knownAtMs = knownAtMs;
    const routes = this.set.plan.routes.get(type);
    if (routes === undefined) return;
    for (const route of routes) this.#applyTo(route, fields, occurredAtMs, knownAtMs);
  }

  /** A request's features, from what was applied. */
  read(request: FeatureRequest): Float64Array {
    return this.set.read(request, (key) => this.#entities.get(key)?.tiles);
  }

  /** Keys of entities changed since they were last taken. */
  dirty(): string[] {
    return this.#due.all().map(({ key }) => key);
  }

  /**
   * Takes the changed entities that somebody who reads at `asOfMs` or before could miss; changes inside tiles that end later
   * are visible to nobody yet. Default: all.
   */
  takeDirty(asOfMs = Infinity): KeptEntity[] {
    return this.#due.take(asOfMs);
  }

  /** Marks an entity as changed again, after it was taken. */
  putBack(entity: KeptEntity, dueAtMs: number): void {
    this.#due.add(entity, dueAtMs);
  }

  /** An entity's state for the bucket; empty for one without events. */
  encode(key: string): EntityState | undefined {
    const entity = this.#entities.get(key);
    return entity === undefined ? undefined : this.encodeEntity(entity);
  }

  encodeEntity({ plan, tiles }: KeptEntity): EntityState {
    return encodeEntity(plan, tiles, (series) => this.#firstTile(series));
  }

  /** Forgets entities whose last tile nobody can ask for any more, and returns their keys. */
  removeExpired(): string[] {
    const removed: string[] = [];
    for (const { key, plan, tiles, dueAtMs } of this.#entities.values()) {
      if (dueAtMs !== Infinity) continue;
      const alive = plan.series.some((series) => {
        const last = tiles[series.slot]?.tiles.at(-1);
        return last !== undefined && last >= this.#firstTile(series);
      });
      if (!alive) removed.push(key);
    }
    for (const key of removed) this.#entities.delete(key);
    return removed;
  }

  /** Everything kept, for a checkpoint. */
  entities(): Iterable<KeptEntity> {
    return this.#entities.values();
  }

  /** Brings back a checkpoint's clock. */
  restoreClock(knownAtMs: number): void {
    this.#knownAtMs = Math.max(this.#knownAtMs, knownAtMs);
  }

  /** Brings back an entity of a checkpoint. False when the set has no such entity. */
  restore(key: string, state: EntityState, dueAtMs: number): boolean {
    const plan = this.set.plan.entities.find(({ name }) => key.startsWith(`${name}.`));
    if (plan === undefined) return false;
    const entity: KeptEntity = { key, plan, tiles: decodeEntity(plan, state), dueAtMs: Infinity };
    this.#entities.set(key, entity);
    if (dueAtMs !== Infinity) this.#due.add(entity, dueAtMs);
    return true;
  }

  #applyTo({ entity: plan, series }: RoutePlan, fields: Fields, occurredAtMs: number, knownAtMs: number): void {
    const key = entityKey(plan.name, plan.keyFields, fields);
    if (key === undefined) return;
    let entity = this.#entities.get(key);
    let dueAtMs = Infinity;
    for (const one of series) {
      if (one.where !== undefined && one.where.evaluate(fields, occurredAtMs) !== true) continue;
      const value = one.measure(fields, occurredAtMs);
      if (value === undefined) continue;
      const tile = Math.floor(occurredAtMs / one.tileMs);
      if (tile < this.#firstTile(one)) continue;
      if (entity === undefined) {
        entity = { key, plan, tiles: emptyTiles(plan), dueAtMs: Infinity };
        this.#entities.set(key, entity);
      }
      const known = Math.floor(knownAtMs / one.tileMs);
      const columns = (entity.tiles[one.slot] ??= one.kind.create());
      columns.add(tile, known, value, occurredAtMs);
      columns.prune(this.#firstTile(one));
      dueAtMs = Math.min(dueAtMs, (known + 1) * one.tileMs);
    }
    if (entity !== undefined && dueAtMs < entity.dueAtMs) this.#due.add(entity, dueAtMs);
  }

  /** The first tile that a read within the look-back can still cover. */
  #firstTile({ tileMs, longestWindow }: SeriesPlan): number {
    return Math.floor((this.#knownAtMs - this.#lookBackMs) / tileMs) - longestWindow;
  }
}
