import { connectBus } from "@millrace/bus";
import { connectDatabase, migrate } from "@millrace/db";
import { startRpcServer } from "@millrace/rpc";
import { readConfig, runService } from "@millrace/runtime";
import { readTrainingConfig } from "./config.ts";
import { migrations } from "./migrations/mod.ts";
import { startTraining } from "./training.ts";

await runService({
  name: "training",
  async start(stack, context) {
    const config = readConfig(process.env, readTrainingConfig);
    const bus = stack.use(await connectBus(config.bus, "training", context.logger));
    const database = stack.use(await connectDatabase(config.database, context.logger));
    await migrate(database, migrations);
    const training = await startTraining(stack, { ...context, config, bus, database });
    const { grpcAddress: address } = config;
    const { service, maxMessageBytes } = training;
    stack.use(await startRpcServer({ address, services: [service], logger: context.logger, maxMessageBytes }));
  },
});
