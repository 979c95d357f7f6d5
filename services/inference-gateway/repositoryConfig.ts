import { describeError, MillraceError } from "@millrace/runtime";
import type { BatcherOptions } from "./batcher.ts";
import { DEFAULT_BATCH } from "./servedApp.ts";

/** How a model of the repository is to be batched. */
export interface RepositoryConfig {
  readonly batch: BatcherOptions;
  readonly batched: boolean;
}

const MAX_BATCH_SIZE = 4_096;
const QUEUED_BATCHES = 4;

/**
 * Reads what is used of a Triton model configuration in JSON: `max_batch_size` (0: unbatched) and
 * `dynamic_batching.max_queue_delay_microseconds`. Everything else comes from the model itself, and is ignored.
 *
 * @param json Empty: the defaults.
 * @throws `invalid_argument`
 */
export function readModelConfig(json: string): RepositoryConfig {
  if (json === "") return { batch: DEFAULT_BATCH, batched: true };
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(json) as Record<string, unknown>;
  } catch (cause) {
    throw new MillraceError("invalid_argument", `config: expected a JSON object: ${describeError(cause)}`, { cause });
  }
  if (typeof config !== "object" || config === null) {
    throw new MillraceError("invalid_argument", "config: expected a JSON object");
  }
  const maxSize = whole(config, "max_batch_size", MAX_BATCH_SIZE) ?? DEFAULT_BATCH.maxSize;
  const batching = config["dynamic_batching"];
  const delay = isObject(batching) ? whole(batching, "max_queue_delay_microseconds", 1e9) : undefined;
  const batch = {
    maxSize: Math.max(1, maxSize),
    maxQueue: Math.max(DEFAULT_BATCH.maxQueue, QUEUED_BATCHES * maxSize),
    maxDelayMs: delay === undefined ? DEFAULT_BATCH.maxDelayMs : delay / 1_000,
  };
  return { batch, batched: maxSize > 0 };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Protobuf's JSON writes 64-bit numbers as texts. */
function whole(object: Record<string, unknown>, field: string, max: number): number | undefined {
  const value = object[field];
  if (value === undefined) return undefined;
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= max) return number;
  const got = JSON.stringify(value).slice(0, 100);
  throw new MillraceError("invalid_argument", `config: ${field}: expected a whole number from 0 to ${max}, got ${got}`);
}
