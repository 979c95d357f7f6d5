import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type DatabasePasswords, randomDatabasePasswords } from "@millrace/provision";
import { type NatsPasswords, randomNatsPasswords } from "./natsUsers.ts";

/** The passwords of the local system: made at random at the first start, readable by their owner alone. */
export interface Credentials {
  readonly nats: NatsPasswords;
  readonly database: DatabasePasswords;
}

export function readOrMakeCredentials(file: string): Credentials {
  const known = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Partial<Credentials>) : {};
  const credentials: Credentials = {
    nats: { ...randomNatsPasswords(), ...known.nats },
    database: { ...randomDatabasePasswords(), ...known.database },
  };
  writeFileSync(file, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 });
  return credentials;
}
