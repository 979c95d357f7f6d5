import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, featureBucket } from "@millrace/bus";
import type { FeatureRequest, FeatureSet } from "@millrace/features";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { type Watermark, WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { waitFor } from "@millrace/test-harness";

/** The watermark that the bucket holds; undefined when there is none. */
export async function readWatermark(bus: Bus, partition = 0): Promise<Watermark | undefined> {
  const entry = await (await bus.keyValue(featureBucket("flights"))).get(`watermark.${partition}`).catch(() => null);
  return entry?.operation === "PUT" ? fromBinary(WatermarkSchema, entry.value) : undefined;
}

/** Waits until everything up to `sequence` of ACCEPTED is readable; the watermark's event time. */
export async function waitForSequence(bus: Bus, sequence: number, deadlineMs = 15_000): Promise<number> {
  const { eventTime } = await waitFor(
    async () => {
      const watermark = await readWatermark(bus);
      return watermark !== undefined && watermark.streamSequence >= BigInt(sequence) && watermark;
    },
    { what: `the watermark reaches ${sequence}`, deadlineMs },
  );
  return eventTime === undefined ? Number.NaN : timestampMs(eventTime);
}

/** What a gateway reads. */
export async function readBucket(bus: Bus, set: FeatureSet, request: FeatureRequest): Promise<Float64Array> {
  const bucket = await bus.keyValue(featureBucket("flights"));
  const states = new Map<string, EntityState>();
  for (const key of set.entityKeys(request.fields)) {
    const entry = await bucket.get(key);
    if (entry?.operation === "PUT") states.set(key, fromBinary(EntityStateSchema, entry.value));
  }
  return set.vector(request, (key) => states.get(key));
}

/** Bits, so that NaN equals NaN and -0 differs from 0. */
export const bits = (vector: Float64Array): string => Buffer.from(vector.slice().buffer).toString("hex");
