import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  EngineCheckpointSchema,
  type EntityCheckpoint,
  EntityCheckpointSchema,
} from "@millrace/proto/millrace/feature/v1/checkpoint_pb.ts";
import { FeatureEngine } from "./engine.ts";
import type { FeatureSet } from "./featureSet.ts";

/** How far in the stream an engine has come. */
export interface Position {
  /** Everything up to this sequence in the stream has been applied; 0 is nothing. */
  readonly streamSequence: number;
  /** Every event known before this time has been applied; -Infinity when nothing is known about that. */
  readonly completeBeforeMs: number;
  /** First log_sequence of each batch applied lately, oldest first. */
  readonly recentBatches: readonly bigint[];
}

/** Encodes an engine and its position as one `EngineCheckpoint`. */
export function encodeCheckpoint(engine: FeatureEngine, position: Position): Uint8Array {
  const entities: EntityCheckpoint[] = [];
  for (const entity of engine.entities()) {
    entities.push(
      create(EntityCheckpointSchema, {
        key: entity.key,
        state: engine.encodeEntity(entity),
        ...(entity.dueAtMs === Infinity ? {} : { dueAtMs: entity.dueAtMs }),
      }),
    );
  }
  const checkpoint = create(EngineCheckpointSchema, {
    definitions: engine.set.definitions,
    streamSequence: BigInt(position.streamSequence),
    ...(engine.knownAtMs === -Infinity ? {} : { knownAt: timestampFromMs(engine.knownAtMs) }),
    ...(position.completeBeforeMs === -Infinity ? {} : { completeBefore: timestampFromMs(position.completeBeforeMs) }),
    entities,
    recentBatches: [...position.recentBatches],
  });
  return toBinary(EngineCheckpointSchema, checkpoint);
}

/**
 * Brings an engine back from a checkpoint, equal in every later answer to the one that was encoded. Undefined when it was made
 * by other definitions.
 */
export function decodeCheckpoint(
  set: FeatureSet,
  bytes: Uint8Array,
): { readonly engine: FeatureEngine; readonly position: Position } | undefined {
  const checkpoint = fromBinary(EngineCheckpointSchema, bytes);
  if (checkpoint.definitions !== set.definitions) return undefined;
  const engine = new FeatureEngine(set);
  if (checkpoint.knownAt !== undefined) engine.restoreClock(timestampMs(checkpoint.knownAt));
  for (const { key, state, dueAtMs } of checkpoint.entities) {
    if (state !== undefined) engine.restore(key, state, dueAtMs ?? Infinity);
  }
  const position: Position = {
    streamSequence: Number(checkpoint.streamSequence),
    completeBeforeMs: checkpoint.completeBefore === undefined ? -Infinity : timestampMs(checkpoint.completeBefore),
    recentBatches: checkpoint.recentBatches,
  };
  return { engine, position };
}
