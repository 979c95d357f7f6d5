import { connectBus } from "@millrace/bus";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectByteStream, startRpcServer } from "@millrace/rpc";
import { readConfig, runService, systemClock } from "@millrace/runtime";
import type { ReadLog } from "./backfill.ts";
import { readFeatureConfig } from "./config.ts";
import { buildDatasetInWorker } from "./datasetThread.ts";
import { datasetService } from "./grpc.ts";
import { LiveApps } from "./liveApps.ts";

await runService({
  name: "feature",
  async start(stack, { logger, fail }) {
    const config = readConfig(process.env, readFeatureConfig);
    const bus = stack.use(await connectBus(config.bus, "feature", logger));
    const log = stack.use(connectByteStream(EventLogService.method.readEvents, config.eventLogAddress));
    const readLog: ReadLog = (request, signal) => log.call(request, { signal });
    stack.use(await LiveApps.start({ bus, config, logger, clock: systemClock, readLog, onFailure: fail }));
    const services = [datasetService(bus, buildDatasetInWorker(config, logger))];
    stack.use(await startRpcServer({ address: config.grpcAddress, services, logger }));
  },
});
