import { fromBinary } from "@bufbuild/protobuf";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { describeError, type Logger } from "@millrace/runtime";

/** One entity's state as the bucket held it. */
export interface CachedEntity {
  readonly key: string;
  /** The stored bytes, until they are decoded for the first time. */
  bytes: Uint8Array | undefined;
  state: EntityState | undefined;
  readonly revision: number;
  cost: number;
}

/** What an entry costs besides its bytes, and how much its bytes grow when decoded. */
const ENTRY_COST = 200;
const DECODED_FACTOR = 6;
/** Evicting goes on down to this share, so that it is not done for every entry. */
const EVICTED_TO = 0.95;

/** Entities' states up to so many bytes; beyond, the least recently used are dropped. States are decoded when first asked for. */
export class EntityCache {
  hits = 0;
  misses = 0;
  readonly #entries = new Map<string, CachedEntity>();
  readonly #maxBytes: number;
  readonly #logger: Logger;
  #bytes = 0;
  #partial = false;

  /** @param maxBytes of stored bytes, and of decoded ones as estimated */
  constructor(maxBytes: number, logger: Logger) {
    this.#maxBytes = maxBytes;
    this.#logger = logger;
  }

  /** Entries have been evicted: an entity that is not here may exist. */
  get partial(): boolean {
    return this.#partial;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** An entity's state; undefined for one that is not here. */
  lookup(key: string): EntityState | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.misses += 1;
      return undefined;
    }
    this.hits += 1;
    if (this.#partial) this.#touch(entry);
    return this.stateOf(entry);
  }

  /** The entry of an entity, which counts as used now, though not as looked up. */
  use(key: string): CachedEntity | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#touch(entry);
    return entry;
  }

  /** Keeps a state, unless a newer one is here; returns the one that is newer. It may be evicted again at once. */
  put(key: string, bytes: Uint8Array, revision: number): CachedEntity {
    const known = this.#entries.get(key);
    if (known !== undefined && known.revision > revision) return known;
    const entry = { key, bytes, state: undefined, revision, cost: ENTRY_COST + bytes.length };
    this.#bytes += entry.cost - (known?.cost ?? 0);
    this.#entries.set(key, entry);
    this.#evict();
    return entry;
  }

  remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.cost ?? 0;
    this.#entries.delete(key);
  }

  /** Removes the entities that exist no more; those that were looked for and did not exist (revision 0) stay. */
  keepOnly(existing: ReadonlySet<string>): void {
    for (const [key, { revision }] of this.#entries) if (!existing.has(key) && revision > 0) this.remove(key);
  }

  /** The decoded state; undefined when its bytes are no state. */
  stateOf(entry: CachedEntity): EntityState | undefined {
    if (entry.bytes !== undefined) this.#decode(entry, entry.bytes);
    return entry.state;
  }

  #touch(entry: CachedEntity): void {
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
  }

  #decode(entry: CachedEntity, bytes: Uint8Array): void {
    entry.bytes = undefined;
    try {
      entry.state = fromBinary(EntityStateSchema, bytes);
    } catch (error) {
      const { key } = entry;
      this.#logger.error({ err: error, key }, `the state of ${key} cannot be read: ${describeError(error)}`);
    }
    const cost = ENTRY_COST + bytes.length * DECODED_FACTOR;
    if (this.#entries.get(entry.key) === entry) this.#bytes += cost - entry.cost;
    entry.cost = cost;
  }

  #evict(): void {
    if (this.#bytes <= this.#maxBytes) return;
    this.#partial = true;
    for (const [key] of this.#entries) {
      this.remove(key);
      if (this.#bytes <= this.#maxBytes * EVICTED_TO) return;
    }
  }
}
