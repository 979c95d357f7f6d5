import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  decodeCheckpoint,
  type EngineOptions,
  encodeCheckpoint,
  FeatureEngine,
  type FeatureSet,
  type KeptEntity,
} from "@millrace/features";
import type { AcceptedEvents } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { RecentBatches } from "./recentBatches.ts";

/** What can be told to readers about how far the features follow. */
export interface LivePosition {
  /** Everything up to this sequence of the stream has been applied. */
  readonly streamSequence: number;
  /** Every event known before this time has been applied; -Infinity at the beginning. */
  readonly completeBeforeMs: number;
  /** Reads as of this time and later are exact. */
  readonly exactFromMs: number;
}

/**
 * The live features of one app: an engine, how far in the stream it has come, and which batches it has seen. Pure: the stream comes in
 * as calls, the bucket's content goes out as entities.
 */
export class LiveState {
  readonly engine: FeatureEngine;
  readonly #recent: RecentBatches;
  #streamSequence: number;
  #completeBeforeMs: number;
  #latestKnownMs = -Infinity;
  #marked = false;
  /** Batches that came a second time. */
  duplicates = 0;
  events = 0;

  private constructor(
    engine: FeatureEngine,
    position: Pick<LivePosition, "streamSequence" | "completeBeforeMs">,
    recent: RecentBatches,
  ) {
    this.engine = engine;
    this.#streamSequence = position.streamSequence;
    this.#completeBeforeMs = position.completeBeforeMs;
    this.#recent = recent;
  }

  /** From the beginning of the stream. */
  static empty(set: FeatureSet, options: EngineOptions): LiveState {
    return new LiveState(
      new FeatureEngine(set, options),
      { streamSequence: 0, completeBeforeMs: -Infinity },
      new RecentBatches(),
    );
  }

  /** From a checkpoint; undefined when it was made by other features. */
  static restore(set: FeatureSet, checkpoint: Uint8Array, options: EngineOptions): LiveState | undefined {
    const restored = decodeCheckpoint(set, checkpoint, options);
    if (restored === undefined) return undefined;
    return new LiveState(restored.engine, restored.position, new RecentBatches(restored.position.recentBatches));
  }

  get position(): LivePosition {
    const { exactFromMs } = this.engine;
    return { streamSequence: this.#streamSequence, completeBeforeMs: this.#completeBeforeMs, exactFromMs };
  }

  /** Applies the message at `streamSequence`. False when it, or the same batch under another sequence, was applied before. */
  apply(streamSequence: number, batch: AcceptedEvents): boolean {
    if (streamSequence <= this.#streamSequence) return false;
    this.#streamSequence = streamSequence;
    const first = batch.events[0];
    const isNew = first === undefined || this.#recent.add(first.logSequence);
    if (isNew) {
      for (const event of batch.events) this.engine.apply(event);
      this.events += batch.events.length;
    } else this.duplicates += 1;
    this.#advance(batch);
    return isNew;
  }

  /** Passes over the message at `streamSequence`, which cannot be read. */
  skip(streamSequence: number): void {
    this.#streamSequence = Math.max(this.#streamSequence, streamSequence);
  }

  /** Nothing has come for a while, so nothing that belongs to what has come is under way. */
  settle(): void {
    this.#completeBeforeMs = Math.max(this.#completeBeforeMs, this.engine.knownAtMs);
  }

  /** Takes the changed entities that a reader could miss: at the position's time, or at any time. */
  takeDirty(everything: boolean): KeptEntity[] {
    return this.engine.takeDirty(everything ? Infinity : this.#completeBeforeMs);
  }

  checkpoint(): Uint8Array {
    return encodeCheckpoint(this.engine, { ...this.position, recentBatches: this.#recent.all });
  }

  #advance({ events, completeBefore }: AcceptedEvents): void {
    if (completeBefore !== undefined) {
      this.#marked = true;
      this.#completeBeforeMs = Math.max(this.#completeBeforeMs, timestampMs(completeBefore));
      return;
    }
    // A writer that never marks the end of its transactions publishes one batch for each; the batch before this one is complete.
    const knownAt = events[0]?.knownAt;
    if (this.#marked || knownAt === undefined) return;
    this.#latestKnownMs = Math.max(this.#latestKnownMs, timestampMs(knownAt));
    this.#completeBeforeMs = Math.max(this.#completeBeforeMs, this.#latestKnownMs);
  }
}
