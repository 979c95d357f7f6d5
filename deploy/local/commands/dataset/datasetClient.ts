import type { DatasetService as Service } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

/** The feature service of the running system. @throws `failed_precondition` when none runs */
export function connectDatasets(): RpcClient<typeof Service> {
  const address = readEndpoints(new Home(defaultHome())).grpc.feature;
  if (address === undefined) {
    throw new MillraceError(
      "failed_precondition",
      "The running system has no feature service, which keeps the datasets",
    );
  }
  return connectRpc(DatasetService, address);
}
