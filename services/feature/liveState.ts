import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  decodeCheckpoint,
  type EngineOptions,
  encodeCheckpoint,
  FeatureEngine,
  type FeatureSet,
  type KeptEntity,
  type Position,
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

const BEGINNING: Position = {
  streamSequence: 0,
  completeBeforeMs: -Infinity,
  recentBatches: [],
  latestLogSequence: 0n,
  completeLogSequence: 0n,
};

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
  #latestLogSequence: bigint;
  #completeLogSequence: bigint;
  /** Batches that came a second time. */
  duplicates = 0;
  events = 0;

  private constructor(engine: FeatureEngine, position: Position) {
    this.engine = engine;
    this.#streamSequence = position.streamSequence;
    this.#completeBeforeMs = position.completeBeforeMs;
    this.#latestLogSequence = position.latestLogSequence;
    this.#completeLogSequence = position.completeLogSequence;
    this.#recent = new RecentBatches(position.recentBatches);
  }

  /** From the beginning of the stream. */
  static empty(set: FeatureSet, options: EngineOptions): LiveState {
    return new LiveState(new FeatureEngine(set, options), BEGINNING);
  }

  /** From the beginning of a stream that has lost its first messages: no series is whole. */
  static withoutBeginning(set: FeatureSet, options: EngineOptions): LiveState {
    const state = LiveState.empty(set, options);
    state.engine.remember({ knownAtMs: -Infinity, exactFromMs: -Infinity, definitions: "" });
    return state;
  }

  /** From a checkpoint; of one that was made by other features, the series that are known go on. @throws as `decodeCheckpoint`. */
  static restore(set: FeatureSet, checkpoint: Uint8Array, options: EngineOptions): LiveState {
    const { engine, position } = decodeCheckpoint(set, checkpoint, options);
    return new LiveState(engine, position);
  }

  get position(): LivePosition {
    const { exactFromMs } = this.engine;
    return { streamSequence: this.#streamSequence, completeBeforeMs: this.#completeBeforeMs, exactFromMs };
  }

  /** The highest log_sequence applied. */
  get latestLogSequence(): bigint {
    return this.#latestLogSequence;
  }

  /** Every event of the log up to this log_sequence has been applied. */
  get completeLogSequence(): bigint {
    return this.#completeLogSequence;
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
    return encodeCheckpoint(this.engine, {
      ...this.position,
      recentBatches: this.#recent.all,
      latestLogSequence: this.#latestLogSequence,
      completeLogSequence: this.#completeLogSequence,
    });
  }

  #advance({ events, completeBefore }: AcceptedEvents): void {
    // In log order inside a batch; not so from batch to batch of one transaction.
    const last = events.at(-1)?.logSequence ?? 0n;
    if (last > this.#latestLogSequence) this.#latestLogSequence = last;
    if (completeBefore !== undefined) {
      this.#marked = true;
      this.#completeLogSequence = this.#latestLogSequence;
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
