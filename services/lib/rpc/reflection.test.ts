import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Client, credentials } from "@grpc/grpc-js";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { implement, startRpcServer } from "./mod.ts";

/** ServerReflectionRequest { file_by_filename 3, file_containing_symbol 4, list_services 7 }. */
const BY_SYMBOL = 4;
const LIST = 7;

/** Asks once; the bytes of the answer. */
function ask(client: Client, version: string, field: number, value: string): Promise<Uint8Array> {
  const same = (bytes: Buffer): Buffer => bytes;
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const call = client.makeBidiStreamRequest(path, same, same);
  call.end(Buffer.from(new BinaryWriter().tag(field, WireType.LengthDelimited).string(value).finish()));
  return new Promise((resolve, reject) => {
    call.on("data", resolve);
    call.on("error", reject);
  });
}

/** All values of a field whose values are bytes. */
function all(message: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === wanted && wireType === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(wireType, number);
  }
  return found;
}

/** ServerReflectionResponse { file_descriptor_response 4 { file_descriptor_proto 1 }, list_services_response 6 { service 1 { name 1 } } }. */
const filesOf = (answer: Uint8Array) =>
  all(answer, 4).flatMap((response) =>
    all(response, 1).map((file) => fromBinary(FileDescriptorProtoSchema, Uint8Array.from(file))),
  );

test("a client with reflection alone learns every service, its methods, and the messages of its errors", async () => {
  const service = implement(PredictionService, {});
  await using server = await startRpcServer({ address: "127.0.0.1:0", services: [service], logger: silentLogger });
  const client = new Client(server.address, credentials.createInsecure());
  try {
    for (const version of ["v1", "v1alpha"]) {
      const listed = all(await ask(client, version, LIST, ""), 6).flatMap((response) =>
        all(response, 1).map((listedService) => Buffer.from(all(listedService, 1)[0] ?? []).toString()),
      );
      for (const name of ["millrace.prediction.v1.PredictionService", "grpc.health.v1.Health"]) {
        assert.ok(listed.includes(name), `${name} is not among ${listed.join(", ")}`);
      }
      const files = filesOf(await ask(client, version, BY_SYMBOL, "millrace.prediction.v1.PredictionService"));
      const methods = files.flatMap((file) => file.service).flatMap(({ method }) => method.map(({ name }) => name));
      assert.deepEqual(methods, ["Predict", "PredictBatch", "PredictStream"]);
      const messages = files.flatMap((file) => file.messageType.map(({ name }) => `${file.package}.${name}`));
      for (const name of [
        "millrace.prediction.v1.Prediction",
        "millrace.event.v1.Value",
        "google.protobuf.Timestamp",
      ]) {
        assert.ok(messages.includes(name), `${name} is not among ${messages.join(", ")}`);
      }
      for (const symbol of ["google.rpc.BadRequest", "google.rpc.RetryInfo", "grpc.health.v1.Health"]) {
        assert.ok(filesOf(await ask(client, version, BY_SYMBOL, symbol)).length > 0, `${symbol} is not told`);
      }
    }
  } finally {
    client.close();
  }
});
