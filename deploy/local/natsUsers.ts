import { randomBytes } from "node:crypto";

/** The users of `deploy/nats/nats.conf`, each with its own rights and password. */
export const NATS_USERS = [
  "admin",
  "producer",
  "application",
  "ingestion",
  "feature",
  "training",
  "trainer",
  "inference-gateway",
  "feedback",
  "monitor",
] as const;

export type NatsUser = (typeof NATS_USERS)[number];

export type NatsPasswords = Readonly<Record<NatsUser, string>>;

/** The environment variable from which the server takes a user's password: `INFERENCE_GATEWAY_PASSWORD`. */
export const passwordVariable = (user: string): string => `${user.toUpperCase().replaceAll("-", "_")}_PASSWORD`;

/** A password for each user. It begins with a letter, or the server's configuration would read it as a number. */
export function randomNatsPasswords(): NatsPasswords {
  return Object.fromEntries(NATS_USERS.map((user) => [user, randomPassword()])) as unknown as NatsPasswords;
}

/** 192 random bits. */
export const randomPassword = (): string => `p${randomBytes(24).toString("hex")}`;
