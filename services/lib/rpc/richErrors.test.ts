import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { RetryInfoSchema } from "@millrace/proto/google/rpc/status_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { implement, startRpcServer } from "./mod.ts";

/** Fails a call of a client that knows nothing of Millrace, and gives what came. */
async function failure(error: MillraceError): Promise<ServiceError> {
  const service = implement(EventLogService, { countEvents: () => Promise.reject(error) });
  await using server = await startRpcServer({ address: "127.0.0.1:0", services: [service], logger: silentLogger });
  const client = new Client(server.address, credentials.createInsecure());
  const bytes = (value: Buffer): Buffer => value;
  try {
    return await new Promise((resolve, reject) => {
      const path = "/millrace.ingestion.v1.EventLogService/CountEvents";
      client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (failed) =>
        failed === null ? reject(new Error("the call did not fail")) : resolve(failed),
      );
    });
  } finally {
    client.close();
  }
}

/** The fields of a message as they stand on the wire: numbers, or bytes. */
function read(message: Uint8Array): [number, number | Uint8Array][] {
  const reader = new BinaryReader(message);
  const fields: [number, number | Uint8Array][] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    fields.push([number, wireType === WireType.Varint ? reader.int32() : reader.bytes()]);
  }
  return fields;
}

const text = (bytes: number | Uint8Array | undefined): string => Buffer.from(bytes as Uint8Array).toString();

/** google.rpc.Status { code 1, message 2, details 3 of google.protobuf.Any { type_url 1, value 2 } }. */
function readStatus(error: ServiceError): { code: unknown; message: string; details: Map<string, Uint8Array> } {
  const bytes = error.metadata.get("grpc-status-details-bin")[0];
  assert.ok(bytes instanceof Uint8Array);
  const fields = read(bytes);
  const one = (wanted: number) => fields.find(([number]) => number === wanted)?.[1];
  const details = fields
    .filter(([number]) => number === 3)
    .map(([, any]) => {
      const [url, value] = read(any as Uint8Array);
      return [text(url?.[1]), value?.[1] as Uint8Array] as const;
    });
  return { code: one(1), message: text(one(2)), details: new Map(details) };
}

test("the trailer holds a google.rpc.Status with ErrorInfo, BadRequest and RetryInfo, as their numbers are fixed", async () => {
  const violations = [{ field: "fields.delay", reason: "field_out_of_range", description: "must be at most 5, not 6" }];
  const { code, message, details } = readStatus(
    await failure(new MillraceError("invalid_argument", "5 at most", { violations, retryAfterMs: 1_500 })),
  );
  assert.deepEqual([code, message], [status.INVALID_ARGUMENT, "5 at most"]);
  assert.deepEqual(
    [...details.keys()].sort(),
    ["BadRequest", "ErrorInfo", "RetryInfo"].map((name) => `type.googleapis.com/google.rpc.${name}`),
  );
  const [reason, domain] = read(details.get("type.googleapis.com/google.rpc.ErrorInfo") as Uint8Array);
  assert.deepEqual([text(reason?.[1]), text(domain?.[1])], ["FIELD_OUT_OF_RANGE", "millrace"]);
  const [violation] = read(details.get("type.googleapis.com/google.rpc.BadRequest") as Uint8Array);
  assert.deepEqual(
    read(violation?.[1] as Uint8Array).map(([number, value]) => [number, text(value)]),
    [
      [1, "fields.delay"],
      [2, "must be at most 5, not 6"],
      [3, "field_out_of_range"],
    ],
  );
  const retry = fromBinary(RetryInfoSchema, details.get("type.googleapis.com/google.rpc.RetryInfo") as Uint8Array);
  assert.equal(retry.retryDelay && durationMs(retry.retryDelay), 1_500);
});

test("an error with more violations than trailers can hold still arrives, and says how many are left out", async () => {
  const violations = Array.from({ length: 500 }, (_, index) => ({
    field: `fields.field_${index}`,
    reason: "field_wrong_type",
    description: `fields.field_${index} must be a number, not ${"ä".repeat(50)}`,
  }));
  const message = violations.map(({ description }) => description).join("; ");
  const error = await failure(new MillraceError("invalid_argument", message, { violations }));
  assert.equal(error.code, status.INVALID_ARGUMENT);
  assert.ok(error.details.length < 2_000 && error.details.startsWith("fields.field_0"));
  const { details } = readStatus(error);
  const kept = read(details.get("type.googleapis.com/google.rpc.BadRequest") as Uint8Array);
  const last = read(kept.at(-1)?.[1] as Uint8Array).map(([, value]) => text(value));
  assert.ok(last.includes(`${500 - (kept.length - 1)} more; mend these first`), last.join(" | "));
  assert.ok(kept.length > 10);
});
