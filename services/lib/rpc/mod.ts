export {
  type ByteStream,
  type CallOptions,
  connectByteStream,
  connectRpc,
  type RpcClient,
  type RpcClientOptions,
} from "./client.ts";
export type { Departure } from "./departure.ts";
export { Encoded } from "./encoded.ts";
export { type Call, type Handler, type Implementation, type ImplementedService, implement } from "./implementation.ts";
export { type RpcServer, type RpcServerOptions, readRpcAddress, startRpcServer } from "./server.ts";
export { serviceDefinition } from "./serviceDefinition.ts";
export { fromStatus, toStatus } from "./status.ts";
