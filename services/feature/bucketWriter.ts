import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, featureBucket } from "@millrace/bus";
import type { FeatureEngine, KeptEntity } from "@millrace/features";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { type Watermark, WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import type { LivePosition } from "./liveState.ts";

/** So many entities are sent before the server is waited for. */
const CHUNK = 500;
const CONFIRM_TIMEOUT_MS = 5_000;

/**
 * Writes an app's bucket `features_<app>`: entities, and after them the watermark that covers them. It is the bucket's only
 * writer, so entities need no acknowledgement each: the watermark's own tells the sequence at which it was stored, which is
 * the last one's plus all that was sent in between, or else something was lost.
 */
export class BucketWriter {
  readonly #bus: Bus;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #stream: string;
  readonly #watermarkKey: string;
  #lastSequence: number | undefined;
  /** Entities written so far. */
  written = 0;

  constructor(bus: Bus, app: string, partition: number) {
    this.#bus = bus;
    this.#bucket = featureBucket(app);
    this.#prefix = `$KV.${this.#bucket}.`;
    this.#stream = `KV_${this.#bucket}`;
    this.#watermarkKey = `watermark.${partition}`;
  }

  /** The watermark that the bucket holds. */
  async readWatermark(): Promise<Watermark | undefined> {
    const entry = await (await this.#bus.keyValue(this.#bucket)).get(this.#watermarkKey);
    if (entry?.operation !== "PUT") return undefined;
    return decode(WatermarkSchema, entry.value);
  }

  /**
   * Writes entities, then the watermark.
   *
   * @throws `unavailable` when it is not certain that all of it is stored; write it again then.
   */
  async write(engine: FeatureEngine, entities: readonly KeptEntity[], position: LivePosition): Promise<void> {
    try {
      let last = this.#lastSequence ?? (await this.#bus.manager.streams.info(this.#stream)).state.last_seq;
      this.#lastSequence = undefined;
      for (let from = 0; from < entities.length; from += CHUNK) {
        const chunk = entities.slice(from, from + CHUNK);
        for (const entity of chunk) {
          const bytes = toBinary(EntityStateSchema, engine.encodeEntity(entity));
          this.#bus.connection.publish(`${this.#prefix}${entity.key}`, bytes);
        }
        last += chunk.length;
        this.written += chunk.length;
        if (from + CHUNK < entities.length) await this.#bus.connection.flush();
      }
      const { seq } = await this.#bus.jetstream.publish(
        `${this.#prefix}${this.#watermarkKey}`,
        encodeWatermark(position),
        {
          timeout: CONFIRM_TIMEOUT_MS,
        },
      );
      if (seq !== last + 1) {
        throw new Error(
          `the watermark was stored at ${seq}, not at ${last + 1}: an entity was lost, or somebody else writes`,
        );
      }
      this.#lastSequence = seq;
    } catch (cause) {
      const message = `${entities.length} entities may not all be stored in ${this.#stream}: ${describeError(cause)}`;
      throw new MillraceError("unavailable", message, { cause });
    }
  }
}

function encodeWatermark({ streamSequence, completeBeforeMs }: LivePosition): Uint8Array {
  return toBinary(
    WatermarkSchema,
    create(WatermarkSchema, {
      streamSequence: BigInt(streamSequence),
      ...(completeBeforeMs === -Infinity ? {} : { eventTime: timestampFromMs(completeBeforeMs) }),
    }),
  );
}
