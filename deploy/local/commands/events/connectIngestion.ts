import type { DescService } from "@bufbuild/protobuf";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

/** One of ingestion's gRPC services, of the running system. @throws `failed_precondition` when it is not running. */
export function connectIngestion<Service extends DescService>(service: Service): RpcClient<Service> {
  const address = readEndpoints(new Home(defaultHome())).grpc.ingestion;
  if (address === undefined) throw new MillraceError("failed_precondition", "The service ingestion is not running");
  return connectRpc(service, address);
}
