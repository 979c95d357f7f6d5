import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { EntityState } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { DueEntities } from "./dueEntities.ts";
import type { Fields } from "./entityKey.ts";
import { decodeEntity, type EntityTiles, emptyTiles, encodeEntity } from "./entityState.ts";
import type { FeatureRequest, FeatureSet } from "./featureSet.ts";
import { HeldSeries, type MissingSeries } from "./heldSeries.ts";
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
  /** Which entities to keep, by their key. Default: all. */
  readonly owns?: ((key: string) => boolean) | undefined;
  /**
   * Whether changed and expired entities are taken from the engine, to be written somewhere. One that is only read keeps no account of changes,
   * and forgets expired entities by itself. Default: true.
   */
  readonly reportsChanges?: boolean;
}

/** What an engine knew about itself when it was stored. */
export interface EngineMemory {
  /** The stream's clock; -Infinity before the first event. */
  readonly knownAtMs: number;
  readonly exactFromMs: number;
  /** The series that it held whole, as `definitions` of it said. */
  readonly definitions: string;
}

const DEFAULT_LOOK_BACK_MS = 3_600_000;
/** An engine that is only read looks for expired entities after so many events, or as many as it has entities: no more than one look an event. */
const SWEEP_EVENTS = 10_000;

/**
 * Turns events into tiles. Pure: no I/O and no clock but the events' own. The order in which events are applied does not matter to
 * reads (see `aggregationOf` for doubles), only which were applied.
 */
export class FeatureEngine {
  readonly set: FeatureSet;
  readonly lookBackMs: number;
  readonly #owns: EngineOptions["owns"];
  readonly #entities = new Map<string, KeptEntity>();
  readonly #due = new DueEntities<KeptEntity>();
  readonly #reportsChanges: boolean;
  #eventsUntilSweep = SWEEP_EVENTS;
  #held: HeldSeries;
  /** Keys that were stored, but hold nothing that this engine knows. */
  #useless: string[] = [];
  #knownAtMs = -Infinity;
  #exactFromMs = -Infinity;
  #keptFromMs = Infinity;

  constructor(set: FeatureSet, { lookBackMs = DEFAULT_LOOK_BACK_MS, owns, reportsChanges = true }: EngineOptions = {}) {
    this.#owns = owns;
    this.#reportsChanges = reportsChanges;
    this.set = set;
    this.lookBackMs = lookBackMs;
    this.#held = HeldSeries.all(set.plan);
  }

  /** The stream's clock: the latest known_at applied; -Infinity before the first. */
  get knownAtMs(): number {
    return this.#knownAtMs;
  }

  /**
   * Reads at this time and later are exact, of what was applied: the engine's own, and those of every state that it encodes from now until its
   * clock moves on. What an earlier read would need may have been dropped already. It never goes back.
   */
  get exactFromMs(): number {
    return Math.max(this.#exactFromMs, this.#knownAtMs - this.lookBackMs);
  }

  /** Whether a read as of this time is exact; what is not there any more makes other reads too small, or missing. */
  isExact(asOfMs: number): boolean {
    return this.set.isExact(asOfMs, this.exactFromMs);
  }

  /** Says that reads before this time are not exact, for a reason that the engine cannot know: the stream did not begin early enough. */
  raiseExactFrom(asOfMs: number): void {
    this.#exactFromMs = Math.max(this.#exactFromMs, asOfMs);
  }

  /**
   * Keeps what reads from this time on need, also when the look-back would let it go: readers have been told `exactFromMs` as it was then, and
   * may not know of a later one yet when they meet a state that was encoded after it.
   */
  keepFrom(announcedExactFromMs: number): void {
    this.#keptFromMs = announcedExactFromMs;
  }

  /** Reads from this time on are what tiles are kept for. */
  get keptFromMs(): number {
    return Math.min(this.#knownAtMs - this.lookBackMs, this.#keptFromMs);
  }

  /** The series that are not whole, because the checkpoint did not have them; until they are adopted their features are not right. */
  get missing(): readonly MissingSeries[] {
    return this.#held.missing;
  }

  /** Names the series that are whole; equal to the set's when none is missing. */
  get definitions(): string {
    return this.#held.names;
  }

  get size(): number {
    return this.#entities.size;
  }

  /** Whether there is an entity with this key. */
  keeps(key: string): boolean {
    return this.#entities.has(key);
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
    if (this.#reportsChanges || --this.#eventsUntilSweep > 0) return;
    this.removeExpired();
    this.#eventsUntilSweep = Math.max(SWEEP_EVENTS, this.#entities.size);
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

  /** Marks an entity as changed again, after it was taken; unless it has expired meanwhile. */
  putBack(entity: KeptEntity, dueAtMs: number): void {
    if (this.#entities.get(entity.key) === entity) this.#due.add(entity, dueAtMs);
  }

  /** An entity's state for the bucket; undefined for one without events. */
  encode(key: string): EntityState | undefined {
    const entity = this.#entities.get(key);
    return entity === undefined ? undefined : this.encodeEntity(entity);
  }

  /** What reads from `exactFromMs` on can need of an entity, and nothing else: equal for all who applied the same events. */
  encodeEntity({ plan, tiles }: KeptEntity): EntityState {
    return encodeEntity(plan, tiles, (series) => this.#firstTile(series));
  }

  /** As `takeExpired`, of the entities that were here. */
  removeExpired(): string[] {
    const removed: string[] = [];
    for (const entity of this.#entities.values()) if (this.#hasExpired(entity)) removed.push(entity.key);
    for (const key of removed) {
      // What is not written yet need not be written any more.
      (this.#entities.get(key) as KeptEntity).dueAtMs = Infinity;
      this.#entities.delete(key);
    }
    return removed;
  }

  /**
   * Forgets entities whose time to live is over: their last value is older than all of their windows, for every read that is exact. Returns
   * their keys and those of stored entities that no series knows any more; a live driver deletes these from the bucket, then takes its
   * checkpoint. A read of a deleted entity says the same as one of an expired entity. One for which an event comes afterwards is new.
   */
  takeExpired(): string[] {
    const useless = this.#useless.filter((key) => !this.#entities.has(key));
    this.#useless = [];
    return [...useless, ...this.removeExpired()];
  }

  /** Everything kept, for a checkpoint. */
  entities(): Iterable<KeptEntity> {
    return this.#entities.values();
  }

  /** An entity by its key. */
  entity(key: string): KeptEntity | undefined {
    return this.#entities.get(key);
  }

  /** Keys of the entities that have tiles of one of these series. */
  keysWith(hashes: ReadonlySet<bigint>): string[] {
    const keys: string[] = [];
    for (const { key, plan, tiles } of this.#entities.values()) {
      if (plan.series.some(({ hash, slot }) => tiles[slot] !== undefined && hashes.has(hash))) keys.push(key);
    }
    return keys;
  }

  /** Brings back what a stored engine knew about itself; before its entities. */
  remember({ knownAtMs, exactFromMs, definitions }: EngineMemory): void {
    this.#knownAtMs = Math.max(this.#knownAtMs, knownAtMs);
    this.raiseExactFrom(exactFromMs);
    this.#held = HeldSeries.named(this.set.plan, definitions);
  }

  /** Brings back a stored entity. False when none of its series is known, or all of it has expired: `takeExpired` tells it then. */
  restore(key: string, state: EntityState, dueAtMs: number): boolean {
    const plan = this.set.plan.entities.find(({ name }) => key.startsWith(`${name}.`));
    const tiles = plan === undefined ? [] : decodeEntity(plan, state);
    if (plan === undefined || tiles.every((columns) => columns === undefined)) {
      this.#useless.push(key);
      return false;
    }
    const entity: KeptEntity = { key, plan, tiles, dueAtMs: Infinity };
    this.#entities.set(key, entity);
    if (dueAtMs !== Infinity) this.#due.add(entity, dueAtMs);
    return true;
  }

  /**
   * Takes missing series over from another engine, a backfill's say, in the place of what this one has of them. Exact when both have applied
   * the same events, from as far back as the series' windows reach: so bring the other engine to this one's place in the log first.
   * A series that is whole already is left alone, so doing it again changes nothing. Nothing becomes due by it: `keysWith` tells which entities
   * are to be written before readers are told of the series. The other engine stays as it is.
   *
   * @param hashes of series, as `missing` names them; default: all that are missing
   * @throws `failed_precondition`, having changed nothing, when the other engine does not have one of them whole, or is ahead of this one.
   */
  adoptSeries(other: FeatureEngine, hashes: Iterable<bigint> = this.missing.map(({ hash }) => hash)): void {
    if (other.knownAtMs > this.#knownAtMs) {
      const message = `the other engine has come to ${time(other.knownAtMs)}, this one to ${time(this.#knownAtMs)} only: bring both to the same place in the log`;
      throw new MillraceError("failed_precondition", message);
    }
    const pairs = [...hashes].map((hash) => this.#pair(other, hash)).filter(({ mine }) => !this.#held.covers(mine));
    for (const { mine, theirs } of pairs) {
      this.#replace(mine, theirs, other);
      this.#held.add(mine);
    }
    if (pairs.length > 0) this.raiseExactFrom(other.exactFromMs);
  }

  #pair(other: FeatureEngine, hash: bigint): { mine: SeriesPlan; theirs: SeriesPlan } {
    const mine = this.#series(hash);
    const theirs = other.#series(hash);
    if (mine !== undefined && theirs !== undefined && other.#held.covers(theirs)) {
      if (theirs.longestWindow >= mine.longestWindow) return { mine, theirs };
    }
    const lacking = mine === undefined ? "this engine" : "the other engine";
    throw new MillraceError("failed_precondition", `${lacking} does not have the whole series ${hash.toString(16)}`);
  }

  #series(hash: bigint): SeriesPlan | undefined {
    return this.set.plan.entities.flatMap(({ series }) => series).find((series) => series.hash === hash);
  }

  #replace(mine: SeriesPlan, theirs: SeriesPlan, other: FeatureEngine): void {
    const plan = this.set.plan.entities.find(({ name }) => name === mine.entity) as EntityPlan;
    for (const { key, plan: theirPlan, tiles } of other.#entities.values()) {
      const columns = theirPlan.name === plan.name ? tiles[theirs.slot] : undefined;
      if (columns !== undefined) this.#entity(key, plan).tiles[mine.slot] = columns.clone();
    }
  }

  #entity(key: string, plan: EntityPlan): KeptEntity {
    let entity = this.#entities.get(key);
    if (entity === undefined) {
      entity = { key, plan, tiles: emptyTiles(plan), dueAtMs: Infinity };
      this.#entities.set(key, entity);
    }
    return entity;
  }

  #applyTo({ entity: plan, series }: RoutePlan, fields: Fields, occurredAtMs: number, knownAtMs: number): void {
    const key = plan.keys.of(fields);
    if (key === undefined || this.#owns?.(key) === false) return;
    let entity: KeptEntity | undefined;
    let dueAtMs = Infinity;
    for (const one of series) {
      if (one.where !== undefined && one.where.evaluate(fields, occurredAtMs) !== true) continue;
      const value = one.measure(fields, occurredAtMs);
      if (value === undefined) continue;
      const tile = Math.floor(occurredAtMs / one.tileMs);
      if (tile < this.#firstTile(one)) continue;
      entity ??= this.#entity(key, plan);
      const known = Math.floor(knownAtMs / one.tileMs);
      const columns = (entity.tiles[one.slot] ??= one.kind.create());
      columns.add(tile, known, value, occurredAtMs);
      columns.prune(this.#firstTile(one));
      dueAtMs = Math.min(dueAtMs, (known + 1) * one.tileMs);
    }
    if (entity !== undefined && this.#reportsChanges && dueAtMs < entity.dueAtMs) this.#due.add(entity, dueAtMs);
  }

  #hasExpired({ plan, tiles }: KeptEntity): boolean {
    return !plan.series.some((series) => {
      const last = tiles[series.slot]?.tiles.at(-1);
      return last !== undefined && last >= this.#firstTile(series);
    });
  }

  /** The first tile that a read within the look-back, or one that readers may still take for exact, can cover. */
  #firstTile({ tileMs, longestWindow }: SeriesPlan): number {
    return Math.floor(this.keptFromMs / tileMs) - longestWindow;
  }
}

const time = (ms: number): string => (Number.isFinite(ms) ? new Date(ms).toISOString() : "no event");
