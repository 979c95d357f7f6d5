import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "@millrace/proto/grpc/health/v1/health_pb.ts";
import {
  CountEventsRequestSchema,
  CountEventsResponseSchema,
  EventLogService,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { connectRpc, implement, type RpcServer, startRpcServer } from "./mod.ts";

const COUNT = "/millrace.ingestion.v1.EventLogService/CountEvents";

/** A message as gRPC sends it, uncompressed. */
function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const REQUEST = framed(toBinary(CountEventsRequestSchema, create(CountEventsRequestSchema, { app: "flights" })));

/** Counts the letters of an app's name. */
const service = implement(EventLogService, {
  countEvents: async ({ app }) => create(CountEventsResponseSchema, { accepted: { [app]: BigInt(app.length) } }),
});

const start = (implemented = service): Promise<RpcServer> =>
  startRpcServer({ address: "127.0.0.1:0", services: [implemented], logger: silentLogger, maxMessageBytes: 1_000 });

interface Reply {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** From the trailers, or the headers where there is nothing else. */
  readonly code: number;
}

/** Sends bytes as they are, with headers as they are. */
async function send(session: ClientHttp2Session, body: Buffer, more: Record<string, string> = {}): Promise<Reply> {
  const stream = session.request({ ":method": "POST", ":path": COUNT, "content-type": "application/grpc", ...more });
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on("response", (received) => (headers = received));
  stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  stream.end(body);
  await once(stream, "close");
  return { headers, body: Buffer.concat(pieces), code: Number({ ...headers, ...trailers }["grpc-status"]) };
}

test("what is no proper gRPC call gets a proper status", async () => {
  await using server = await start();
  const session = connect(`http://${server.address}`);
  try {
    const good = await send(session, REQUEST, { "grpc-timeout": "10S" });
    assert.equal(good.code, status.OK);
    const code = async (body: Buffer, headers?: Record<string, string>): Promise<number> =>
      (await send(session, body, headers)).code;
    assert.equal(await code(Buffer.concat([REQUEST, REQUEST])), status.UNIMPLEMENTED, "two requests");
    assert.equal(await code(Buffer.alloc(0)), status.UNIMPLEMENTED, "no request");
    assert.equal(await code(framed(Buffer.of(255))), status.INVALID_ARGUMENT, "no protobuf");
    assert.equal(await code(framed(Buffer.alloc(1_001))), status.RESOURCE_EXHAUSTED, "too large");
    assert.equal(await code(REQUEST, { "grpc-timeout": "soon" }), status.INTERNAL);
    assert.equal(await code(REQUEST, { ":path": "/nothing" }), status.UNIMPLEMENTED);
    const { headers } = await send(session, REQUEST, { "content-type": "text/plain" });
    assert.equal(headers[":status"], 415);
    const packed = framed(gzipSync(REQUEST.subarray(5)));
    packed[0] = 1;
    assert.deepEqual((await send(session, packed, { "grpc-encoding": "gzip" })).body, good.body);
  } finally {
    session.destroy();
  }
});

test("a server that stops finishes the calls that it has begun", async () => {
  const finish = Promise.withResolvers<void>();
  let begun = false;
  const slow = implement(EventLogService, {
    countEvents: async () => {
      begun = true;
      await finish.promise;
      return create(CountEventsResponseSchema);
    },
  });
  const server = await start(slow);
  using client = connectRpc(EventLogService, server.address);
  using health = connectRpc(Health, server.address);
  server.setServing("model", true);
  assert.equal((await health.check({ service: "model" })).status, ServingStatus.SERVING);
  await assert.rejects(health.check({ service: "other" }), { code: "not_found" });
  const call = client.countEvents({});
  await waitFor(() => begun);
  const stopped = server[Symbol.asyncDispose]();
  finish.resolve();
  await call;
  await stopped;
});
