export {
  DATABASE_SERVICES,
  type DatabasePasswords,
  type DatabaseService,
  type DatabaseUrls,
  provisionDatabase,
  provisionNats,
  randomDatabasePasswords,
} from "@millrace/provision";
export { type ChildProcessOptions, OwnProcess } from "./childProcess.ts";
export { type Endpoints, readEndpoints } from "./endpoints.ts";
export { freePort } from "./freePort.ts";
export { guardian } from "./guardian.ts";
export { defaultHome, Home, ROOT } from "./home.ts";
export { natsProgram } from "./natsProgram.ts";
export { NatsServer, type NatsServerOptions } from "./natsServer.ts";
export { NATS_USERS, type NatsPasswords, type NatsUser, passwordVariable, randomNatsPasswords } from "./natsUsers.ts";
export { Platform, type PlatformOptions, startPlatform } from "./platform.ts";
export { createDatabase, PostgresServer, type PostgresServerOptions } from "./postgresServer.ts";
export { SERVICES, type ServiceName } from "./services.ts";
export { requested, Stopped, stopRequest } from "./stopRequest.ts";
export { SupervisedService } from "./supervisedService.ts";
export { Supervisor } from "./supervisor.ts";
export { type WaitOptions, waitFor } from "./waitFor.ts";
