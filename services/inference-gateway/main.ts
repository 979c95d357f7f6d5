import { readConfig, runService } from "@millrace/runtime";
import { readGatewayConfig } from "./config.ts";
import { startGateway } from "./gateway.ts";

await runService({
  name: "inference-gateway",
  async start(stack, context) {
    const config = readConfig(process.env, readGatewayConfig);
    await startGateway(stack, config, context);
  },
});
