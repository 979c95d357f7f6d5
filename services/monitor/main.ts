import { readConfig, runService } from "@millrace/runtime";
import { readMonitorConfig } from "./config.ts";
import { startMonitor } from "./monitor.ts";

await runService({
  name: "monitor",
  async start(stack, context) {
    const config = readConfig(process.env, readMonitorConfig);
    await startMonitor(stack, config, context);
  },
});
