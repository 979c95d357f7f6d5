import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type EngineCheckpoint,
  EngineCheckpointSchema,
  type EntityCheckpoint,
  EntityCheckpointSchema,
} from "@millrace/proto/millrace/feature/v1/checkpoint_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { type EngineOptions, FeatureEngine } from "./engine.ts";
import type { FeatureSet } from "./featureSet.ts";
import type { MissingSeries } from "./heldSeries.ts";

/** How far in the stream an engine has come. */
export interface Position {
  /** Everything up to this sequence in the stream has been applied; 0 is nothing. */
  readonly streamSequence: number;
  /** Every event known before this time has been applied; -Infinity when nothing is known about that. */
  readonly completeBeforeMs: number;
  /** First log_sequence of each batch applied lately, oldest first. */
  readonly recentBatches: readonly bigint[];
  /** The highest log_sequence applied; 0 is none. */
  readonly latestLogSequence: bigint;
  /** Every event of the log up to this log_sequence has been applied. */
  readonly completeLogSequence: bigint;
}

export interface DecodedCheckpoint {
  readonly engine: FeatureEngine;
  readonly position: Position;
  /** Series that the engine has to be given (`adoptSeries`) before their features are right. */
  readonly missing: readonly MissingSeries[];
}

/** The last field of a checkpoint: number 15, 32 bytes. */
const DIGEST_PREFIX = Buffer.from([0x7a, 32]);
const DIGEST_BYTES = 32;

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
    definitions: engine.definitions,
    streamSequence: BigInt(position.streamSequence),
    ...(engine.knownAtMs === -Infinity ? {} : { knownAt: timestampFromMs(engine.knownAtMs) }),
    ...(position.completeBeforeMs === -Infinity ? {} : { completeBefore: timestampFromMs(position.completeBeforeMs) }),
    ...(engine.exactFromMs === -Infinity ? {} : { exactFromMs: engine.exactFromMs }),
    entities,
    recentBatches: [...position.recentBatches],
    latestLogSequence: position.latestLogSequence,
    completeLogSequence: position.completeLogSequence,
  });
  const body = toBinary(EngineCheckpointSchema, checkpoint);
  return Buffer.concat([body, DIGEST_PREFIX, digestOf(body)]);
}

/**
 * Brings an engine back from a checkpoint, equal in every later answer to the one that was encoded. When it was made by other definitions, the
 * series that it has go on, and the others are `missing`.
 *
 * @throws `data_loss` when the bytes are damaged, cut off, or no checkpoint at all.
 */
export function decodeCheckpoint(set: FeatureSet, bytes: Uint8Array, options: EngineOptions = {}): DecodedCheckpoint {
  const checkpoint = readCheckpoint(bytes);
  const engine = new FeatureEngine(set, options);
  engine.remember({
    knownAtMs: checkpoint.knownAt === undefined ? -Infinity : timestampMs(checkpoint.knownAt),
    exactFromMs: checkpoint.exactFromMs ?? -Infinity,
    definitions: checkpoint.definitions,
  });
  for (const { key, state, dueAtMs } of checkpoint.entities) {
    if (state !== undefined) engine.restore(key, state, dueAtMs ?? Infinity);
  }
  const position: Position = {
    streamSequence: Number(checkpoint.streamSequence),
    completeBeforeMs: checkpoint.completeBefore === undefined ? -Infinity : timestampMs(checkpoint.completeBefore),
    recentBatches: checkpoint.recentBatches,
    latestLogSequence: checkpoint.latestLogSequence,
    completeLogSequence: checkpoint.completeLogSequence,
  };
  return { engine, position, missing: engine.missing };
}

function readCheckpoint(bytes: Uint8Array): EngineCheckpoint {
  const end = bytes.length - DIGEST_BYTES;
  const body = bytes.subarray(0, Math.max(0, end - DIGEST_PREFIX.length));
  if (end < DIGEST_PREFIX.length || !DIGEST_PREFIX.equals(bytes.subarray(body.length, end))) {
    throw damaged("it does not end with its digest: it is cut off, or from a release before there were digests");
  }
  if (!digestOf(body).equals(bytes.subarray(end))) throw damaged("its bytes do not match its digest");
  return fromBinary(EngineCheckpointSchema, body);
}

const digestOf = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

function damaged(reason: string): MillraceError {
  const advice = "leave it out and go on from the beginning of the stream";
  return new MillraceError("data_loss", `the checkpoint cannot be used: ${reason}; ${advice}`);
}
