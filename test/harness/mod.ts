export { type WaitOptions, waitFor } from "@millrace/local";
export { startNats, TestNats, type TestNatsOptions } from "./nats.ts";
export { startTestPlatform, TestPlatform } from "./platform.ts";
export { startPostgres, TestPostgres } from "./postgres.ts";
export { TemporaryFolder, temporaryFolder } from "./temporaryFolder.ts";
