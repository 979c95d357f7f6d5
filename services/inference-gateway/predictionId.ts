import { hash, randomUUID } from "node:crypto";

/**
 * A prediction's id: the same for the same question, so that whoever stores predictions by their id counts it once, however often and in
 * whatever company it is asked. A UUID of version 8 (RFC 9562, section 5.8): the first bits of the SHA-256 of `<app>/<request id>`.
 *
 * @param requestId that the caller chose; "" when it left that to the gateway: then the id is random
 */
export function predictionId(app: string, requestId: string): string {
  if (requestId === "") return randomUUID();
  const hex = hash("sha256", messageId(app, requestId));
  const variant = "89ab"[Number.parseInt(hex[16] as string, 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Nats-Msg-Id of a prediction that is a message of its own. An app's name has no "/", and a request id no space. */
export const messageId = (app: string, requestId: string): string => `${app}/${requestId}`;

/** Nats-Msg-Id of predictions that share a message: the same for the same questions in the same order. */
export const rowsMessageId = (app: string, requestIds: readonly string[]): string =>
  `${app}/rows ${hash("sha256", requestIds.join(" "))}`;
