export { type ChildProcessOptions, OwnProcess } from "./childProcess.ts";
export { freePort } from "./freePort.ts";
export { guardian } from "./guardian.ts";
export { NatsServer, type NatsServerOptions } from "./natsServer.ts";
export { NATS_USERS, type NatsPasswords, type NatsUser, passwordVariable, randomNatsPasswords } from "./natsUsers.ts";
export { createDatabase, PostgresServer, type PostgresServerOptions } from "./postgresServer.ts";
export {
  DATABASE_SERVICES,
  type DatabasePasswords,
  type DatabaseService,
  type DatabaseUrls,
  provisionDatabase,
  provisionNats,
  randomDatabasePasswords,
} from "./provision.ts";
export { type WaitOptions, waitFor } from "./waitFor.ts";
