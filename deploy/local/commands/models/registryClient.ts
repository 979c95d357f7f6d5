import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

/** The training service of the running system. @throws `failed_precondition` when none runs */
export function connectRegistry(): RpcClient<typeof RegistryService> {
  const address = readEndpoints(new Home(defaultHome())).grpc.training;
  if (address === undefined) {
    throw new MillraceError(
      "failed_precondition",
      "The running system has no training service, which keeps the models",
    );
  }
  return connectRpc(RegistryService, address);
}
