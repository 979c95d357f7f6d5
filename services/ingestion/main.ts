import { readConfig, runService } from "@millrace/runtime";
import { readIngestionConfig } from "./config.ts";
import { startIngestion } from "./ingestion.ts";

await runService({
  name: "ingestion",
  async start(stack, context) {
    const config = readConfig(process.env, readIngestionConfig);
    const address = await startIngestion(stack, config, context);
    context.logger.info({ address }, "EventLogService listens");
  },
});
