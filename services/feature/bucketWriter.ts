import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, type ConfirmedPublisher, decode, featureBucket, type KV } from "@millrace/bus";
import type { FeatureEngine, KeptEntity } from "@millrace/features";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { type Watermark, WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import type { LivePosition } from "./liveState.ts";
import type { Share } from "./partitioning.ts";

/** What a write changes. */
export interface BucketChanges {
  readonly entities: readonly KeptEntity[];
  /** Keys of entities that exist no more. */
  readonly removed: readonly string[];
}

/** What a watermark tells readers. */
export interface Announced extends LivePosition {
  /** The series that the entities hold whole. */
  readonly definitions: string;
}

export const watermarkKey = (partition: number): string => `watermark.${partition}`;

/** So many entities may be on their way to the server. */
const MAX_OPEN = 1_000;
const CONFIRM_TIMEOUT_MS = 5_000;

/** How a bucket deletes a key (NATS ADR-8): a message that says so takes the value's place. */
const DELETED = { "KV-Operation": "DEL" };
const NOTHING = new Uint8Array();

/**
 * Writes a partition's share of an app's bucket `features_<app>`: entities, and, once the bucket has stored them all, the watermark that covers
 * them. The watermark is only written over the one that this writer knows: of two writers of a partition, one notices.
 */
export class BucketWriter implements Disposable {
  readonly #bucket: KV;
  readonly #publisher: ConfirmedPublisher;
  readonly #prefix: string;
  readonly #stream: string;
  readonly #watermarkKey: string;
  /** Of the watermark that this writer knows; 0 when there is none. */
  #revision = 0;
  #watermark: Watermark | undefined;
  /** Entities written so far. */
  written = 0;

  readonly #partitions: number;

  private constructor(bucket: KV, publisher: ConfirmedPublisher, name: string, { partition, partitions }: Share) {
    this.#bucket = bucket;
    this.#publisher = publisher;
    this.#prefix = `$KV.${name}.`;
    this.#stream = `KV_${name}`;
    this.#watermarkKey = watermarkKey(partition);
    this.#partitions = partitions;
  }

  static async open(bus: Bus, app: string, share: Share): Promise<BucketWriter> {
    const name = featureBucket(app);
    return new BucketWriter(await bus.keyValue(name), bus.confirmedPublisher(), name, share);
  }

  /** The watermark that the bucket holds: from now on, this writer writes after it. */
  async readWatermark(): Promise<Watermark | undefined> {
    const entry = await this.#bucket.get(this.#watermarkKey);
    this.#revision = entry?.revision ?? 0;
    this.#watermark = entry?.operation === "PUT" ? decode(WatermarkSchema, entry.value) : undefined;
    return this.#watermark;
  }

  /**
   * Writes entities and deletes others, then writes the watermark.
   *
   * @throws `unavailable` when it is not certain that all of it is stored; write it again then. `failed_precondition` when somebody else has
   *   written the watermark: who goes on from there has to read it first.
   */
  async write(engine: FeatureEngine, { entities, removed }: BucketChanges, announced: Announced): Promise<void> {
    try {
      this.#publisher.next();
      for (const [index, entity] of entities.entries()) {
        const bytes = toBinary(EntityStateSchema, engine.encodeEntity(entity));
        this.#publisher.publish(`${this.#prefix}${entity.key}`, bytes);
        if (index % MAX_OPEN === MAX_OPEN - 1) await this.#publisher.settled(CONFIRM_TIMEOUT_MS, MAX_OPEN / 2);
      }
      for (const key of removed) this.#publisher.publish(`${this.#prefix}${key}`, NOTHING, DELETED);
      await this.#publisher.settled(CONFIRM_TIMEOUT_MS);
    } catch (cause) {
      const message = `${entities.length + removed.length} entities may not all be stored in ${this.#stream}: ${describeError(cause)}`;
      throw new MillraceError("unavailable", message, { cause });
    }
    this.written += entities.length;
    await this.#writeWatermark(watermarkOf(announced, this.#partitions));
  }

  /** Changes nothing but which series readers are told of. @throws as `write`. */
  async announceOnly(definitions: string): Promise<void> {
    if (this.#watermark !== undefined) await this.#writeWatermark({ ...this.#watermark, definitions });
  }

  [Symbol.dispose](): void {
    this.#publisher[Symbol.dispose]();
  }

  async #writeWatermark(watermark: Watermark): Promise<void> {
    const bytes = toBinary(WatermarkSchema, watermark);
    try {
      this.#revision = await this.#bucket.put(this.#watermarkKey, bytes, { previousSeq: this.#revision });
    } catch (cause) {
      // Perhaps it was stored, and only the answer was lost.
      const entry = await this.#bucket.get(this.#watermarkKey).catch(() => null);
      const stored = entry?.revision ?? 0;
      if (stored === this.#revision || entry === null) {
        const message = `the watermark in ${this.#stream} was not written: ${describeError(cause)}`;
        throw new MillraceError("unavailable", message, { cause });
      }
      if (!Buffer.from(bytes).equals(entry.value)) {
        const message = `somebody else writes ${this.#watermarkKey} of ${this.#stream}: it has revision ${stored}, not ${this.#revision}`;
        throw new MillraceError("failed_precondition", message, { cause });
      }
      this.#revision = stored;
    }
    this.#watermark = watermark;
  }
}

function watermarkOf(
  { streamSequence, completeBeforeMs, exactFromMs, definitions }: Announced,
  partitions: number,
): Watermark {
  return create(WatermarkSchema, {
    streamSequence: BigInt(streamSequence),
    partitions,
    definitions,
    ...(completeBeforeMs === -Infinity ? {} : { eventTime: timestampFromMs(completeBeforeMs) }),
    ...(exactFromMs === -Infinity ? {} : { exactFrom: timestampFromMs(Math.ceil(exactFromMs)) }),
  });
}
