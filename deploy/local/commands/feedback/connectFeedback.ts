import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

/** The feedback service of the running system. @throws `failed_precondition` when none runs */
export function connectFeedback(): RpcClient<typeof FeedbackService> {
  const address = readEndpoints(new Home(defaultHome())).grpc.feedback;
  if (address === undefined) throw new MillraceError("failed_precondition", "The service feedback is not running");
  return connectRpc(FeedbackService, address);
}

/** @throws `invalid_argument` when the app is not named. */
export function requireApp(command: string, app: string | undefined): string {
  if (app !== undefined) return app;
  throw new MillraceError("invalid_argument", `${command} needs --app; npm run millrace -- apps lists them`);
}

/** Who is at the terminal, for the record. */
export const whoIsThis = (): string => process.env["USER"] || process.env["LOGNAME"] || "";

/** @throws `invalid_argument` unless the text is a whole number from 1 to 1,000. */
export function readMax(text: string | undefined): number {
  const max = Number(text ?? 20);
  if (Number.isInteger(max) && max >= 1 && max <= 1_000) return max;
  throw new MillraceError("invalid_argument", `--max must be a whole number from 1 to 1000, not "${text}"`);
}
