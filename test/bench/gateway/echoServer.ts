/** The yardstick, a process of its own: a bare grpc-js server that answers every call of a unary method with the bytes that it was asked. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";

const [address = "", path = ""] = process.argv.slice(2);
const same = (bytes: Buffer): Buffer => bytes;
const echo = {
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
const server = new Server();
server.addService(
  { echo },
  { echo: ({ request }: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => answer(null, request) },
);
server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
