import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { compileFeatures } from "@millrace/features";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { APP, TestGateway, testApp, WATERMARK_MS } from "./gatewayForTests.ts";

const MINUTE_MS = 60_000;
const watermark = (ms: number, exactFromMs?: number, definitions?: string): Uint8Array =>
  toBinary(
    WatermarkSchema,
    create(WatermarkSchema, {
      eventTime: timestampFromMs(ms),
      ...(exactFromMs === undefined ? {} : { exactFrom: timestampFromMs(exactFromMs) }),
      ...(definitions === undefined ? {} : { definitions }),
    }),
  );

function request(featuresKnownBeforeMs: number) {
  return {
    app: APP,
    occurredAt: timestampFromMs(WATERMARK_MS),
    fields: {
      flight_id: { kind: { case: "stringValue" as const, value: "f1" } },
      origin: { kind: { case: "stringValue" as const, value: "SFO" } },
      distance: { kind: { case: "doubleValue" as const, value: 1 } },
    },
    featuresKnownBefore: timestampFromMs(featuresKnownBeforeMs),
  };
}

test("a call that asks for features of a moment waits until they have come", async () => {
  await using gateway = await TestGateway.start();
  const wantedMs = WATERMARK_MS + 5 * MINUTE_MS;
  const answer = gateway.client.predict(request(wantedMs), { timeoutMs: 20_000 });
  await gateway.features.put("watermark.0", watermark(WATERMARK_MS + MINUTE_MS));
  await gateway.features.put("watermark.0", watermark(wantedMs));
  const { prediction } = await answer;
  assert.equal(prediction?.featuresAsOf && timestampMs(prediction.featuresAsOf), wantedMs);
});

test("features that do not come in time hold up no answer, which says how old its own are", async () => {
  await using gateway = await TestGateway.start();
  const { prediction } = await gateway.client.predict(request(WATERMARK_MS + MINUTE_MS), { timeoutMs: 1_000 });
  assert.equal(prediction?.featuresAsOf && timestampMs(prediction.featuresAsOf), WATERMARK_MS);
});

test("an answer says whether its features are exactly those of history", async () => {
  await using gateway = await TestGateway.start();
  const tileMs = Math.max(
    ...compileFeatures(testApp().app as App).plan.entities.map(({ series }) => series[0]?.tileMs ?? 0),
  );
  const isExact = async (occurredAtMs: number): Promise<boolean | undefined> => {
    const { prediction } = await gateway.client.predict({ ...request(0), occurredAt: timestampFromMs(occurredAtMs) });
    return prediction?.featuresExact;
  };
  const follows = async (ms: number, exactFromMs: number): Promise<void> => {
    await gateway.features.put("watermark.0", watermark(ms, exactFromMs));
    await gateway.client.predict(request(ms));
  };
  const tileStart = Math.floor(WATERMARK_MS / tileMs) * tileMs;
  await follows(tileStart + tileMs, tileStart - 5 * tileMs);
  assert.equal(await isExact(tileStart + 2 * tileMs - 1), true);
  assert.equal(await isExact(tileStart + 2 * tileMs), false, "a tile that counts is not complete");
  assert.equal(await isExact(tileStart - 5 * tileMs), true);
  assert.equal(await isExact(tileStart - 5 * tileMs - 1), false, "what it needs may have been dropped");
  await follows(tileStart + 2 * tileMs, tileStart);
  assert.equal(await isExact(tileStart + 2 * tileMs), true);
  assert.equal(await isExact(tileStart - 1), false);
});

test("a feature that is still being made from history is missing, and the answer is not exact", async () => {
  await using gateway = await TestGateway.start();
  const { names, plan, definitions } = compileFeatures(testApp().app as App);
  const windowed = names.filter((_, index) => plan.features[index]?.kind === "window");
  assert.ok(windowed.length > 0);
  const told = async (known: string) => {
    const ms = WATERMARK_MS + (known === "" ? 1 : 2) * MINUTE_MS;
    await gateway.features.put("watermark.0", watermark(ms, undefined, known));
    const { prediction } = await gateway.client.predict(request(ms), { timeoutMs: 5_000 });
    assert.ok(prediction);
    const missing = names.filter((_, index) => Number.isNaN(prediction.features[index]));
    return { missing: missing.filter((name) => windowed.includes(name)), exact: prediction.featuresExact };
  };
  assert.deepEqual(await told(""), { missing: windowed, exact: false });
  assert.deepEqual(await told(definitions), { missing: [], exact: true });
});

test("a moment that is no time is refused by name", async () => {
  await using gateway = await TestGateway.start();
  const bad = { ...request(0), featuresKnownBefore: { seconds: 999_999_999_999n, nanos: 0 } };
  await assert.rejects(gateway.client.predict(bad), {
    code: "invalid_argument",
    message: /features_known_before must be from year 1/,
  });
});
