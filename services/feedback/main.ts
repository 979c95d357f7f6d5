import { readConfig, runService } from "@millrace/runtime";
import { readFeedbackConfig } from "./config.ts";
import { startFeedback } from "./feedback.ts";

await runService({
  name: "feedback",
  async start(stack, context) {
    const config = readConfig(process.env, readFeedbackConfig);
    await startFeedback(stack, config, context);
  },
});
