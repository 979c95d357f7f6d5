import cluster from "node:cluster";
import { readConfig, runService } from "@millrace/runtime";
import { readGatewayConfig } from "./config.ts";
import { GatewayProcesses } from "./processes.ts";

await runService({
  name: "inference-gateway",
  async start(stack, context) {
    const config = readConfig(process.env, readGatewayConfig);
    const { processes, grpcAddress: address } = config;
    if (processes > 1 && cluster.isPrimary) {
      stack.use(await GatewayProcesses.start({ ...context, processes, address }));
    } else {
      const { startGateway } = await import("./gateway.ts");
      await startGateway(stack, config, context);
    }
  },
});
