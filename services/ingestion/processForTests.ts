import { type ChildProcess, spawn } from "node:child_process";
import type { TestIngestion } from "./ingestionForTests.ts";

/** The service as a process of its own. */
export function startProcess({ config, postgres }: TestIngestion): ChildProcess {
  return spawn(process.execPath, [new URL("./main.ts", import.meta.url).pathname], {
    stdio: ["pipe", "ignore", "inherit"],
    env: {
      ...process.env,
      NATS_URL: config.bus.url,
      NATS_USER: config.bus.user,
      NATS_PASSWORD: config.bus.password,
      DATABASE_URL: postgres.url("ingestion"),
      MILLRACE_GRPC_ADDRESS: "127.0.0.1:0",
      MILLRACE_HTTP_PORT: "0",
      MILLRACE_PARENT: "stdin",
      INGESTION_MAX_BATCH: "100",
      INGESTION_ACK_WAIT_MS: "1000",
      LOG_LEVEL: "error",
    },
  });
}
