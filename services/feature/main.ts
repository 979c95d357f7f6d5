import { connectBus } from "@millrace/bus";
import { startRpcServer } from "@millrace/rpc";
import { readConfig, runService, systemClock } from "@millrace/runtime";
import { readFeatureConfig } from "./config.ts";
import { buildDatasetInWorker } from "./datasetThread.ts";
import { datasetService } from "./grpc.ts";
import { LiveApps } from "./liveApps.ts";

await runService({
  name: "feature",
  async start(stack, { logger, fail }) {
    const config = readConfig(process.env, readFeatureConfig);
    const bus = stack.use(await connectBus(config.bus, "feature", logger));
    stack.use(await LiveApps.start({ bus, config, logger, clock: systemClock, onFailure: fail }));
    const services = [datasetService(bus, buildDatasetInWorker(config, logger))];
    stack.use(await startRpcServer({ address: config.grpcAddress, services, logger }));
  },
});
