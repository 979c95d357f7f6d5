import { createHmac } from "node:crypto";
import { toJsonString } from "@bufbuild/protobuf";
import { type Alert, AlertSchema } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { HttpPost } from "./deliver.ts";

/**
 * An alert's state as a POST of its protojson. `Millrace-Signature: t=<seconds>,v1=<hex>` is the HMAC-SHA256 of `<seconds>.<body>` with the
 * shared secret, so that the receiver knows who sent it and when; `Millrace-Delivery` is the same for each try of the same state.
 */
export function webhookPost(alert: Alert, delivery: string, secret: string, nowMs: number): HttpPost {
  const body = toJsonString(AlertSchema, alert);
  const seconds = Math.floor(nowMs / 1_000);
  const signature = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  return {
    body,
    headers: {
      "Content-Type": "application/json",
      "Millrace-Delivery": delivery,
      "Millrace-Signature": `t=${seconds},v1=${signature}`,
    },
  };
}
