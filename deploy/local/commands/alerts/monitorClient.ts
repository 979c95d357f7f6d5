import { MonitorService } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

/** The monitor of the running system. @throws `failed_precondition` when none runs */
export function connectMonitor(): RpcClient<typeof MonitorService> {
  const address = readEndpoints(new Home(defaultHome())).grpc.monitor;
  if (address === undefined) throw new MillraceError("failed_precondition", "The service monitor is not running");
  return connectRpc(MonitorService, address);
}

/** The one id that a command takes. @throws `invalid_argument` unless there is one */
export function readAlertId(command: string, positionals: readonly string[]): string {
  const [id, ...others] = positionals;
  if (id !== undefined && others.length === 0) return id;
  const came = id === undefined ? "nothing" : `"${positionals.join(" ")}"`;
  throw new MillraceError(
    "invalid_argument",
    `${command} takes one alert's id, not ${came}; alerts list --app <app> lists them`,
  );
}
