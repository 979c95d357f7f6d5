import { MillraceError } from "@millrace/runtime";
import { alertmanagerPost } from "./alertmanager.ts";
import type { Receiver } from "./deliver.ts";
import { webhookPost } from "./webhook.ts";

/** Who is told of alerts beside the stream ALERTS. Empty: nobody. */
export interface ReceiverConfig {
  readonly webhookUrl: string;
  /** Signs what is sent to the webhook. */
  readonly webhookSecret: string;
  /** Alertmanager's address, without /api/v2/alerts. */
  readonly alertmanagerUrl: string;
}

/** @throws `invalid_argument` for an address that is none, and for a webhook without a secret */
export function receiversOf(config: ReceiverConfig): Receiver[] {
  const { webhookUrl, webhookSecret, alertmanagerUrl } = config;
  const receivers: Receiver[] = [];
  if (webhookUrl !== "") {
    if (webhookSecret === "")
      refuse("ALERT_WEBHOOK_SECRET", "is not set; what is sent to ALERT_WEBHOOK_URL is signed with it");
    receivers.push({
      name: "webhook",
      url: addressOf("ALERT_WEBHOOK_URL", webhookUrl).href,
      post: (alert, delivery) => webhookPost(alert, delivery, webhookSecret, Date.now()),
    });
  }
  if (alertmanagerUrl !== "") {
    const base = addressOf("ALERTMANAGER_URL", alertmanagerUrl).href.replace(/\/$/, "");
    const post: Receiver["post"] = (alert) => alertmanagerPost(alert, Date.now());
    receivers.push({ name: "alertmanager", url: `${base}/api/v2/alerts`, post });
  }
  return receivers;
}

function addressOf(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  return refuse(name, `must be an address such as https://alerts.example/hook, not ${JSON.stringify(text)}`);
}

function refuse(field: string, description: string): never {
  const violations = [{ field, reason: "invalid_setting", description }];
  throw new MillraceError("invalid_argument", `Cannot start: ${field} ${description}`, { violations });
}
