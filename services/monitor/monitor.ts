import { watchApps } from "@millrace/app";
import { connectBus } from "@millrace/bus";
import { connectDatabase, migrate } from "@millrace/db";
import { Outbox } from "@millrace/outbox";
import { type RpcServer, startRpcServer } from "@millrace/rpc";
import type { ServiceContext } from "@millrace/runtime";
import type { Config } from "./config.ts";
import { handleOutcomes, handlePredictions } from "./consumers.ts";
import { monitorService } from "./grpc.ts";
import { observeWatcher } from "./metrics.ts";
import { migrations } from "./migrations/migrations.ts";
import { Models } from "./models.ts";
import { monitoringRules } from "./monitoringRules.ts";
import { deliverTo } from "./outputs/deliver.ts";
import { PeopleStore } from "./peopleStore.ts";
import { handleRollbacks } from "./rollbackConsumer.ts";
import { RollbackStore } from "./rollbackStore.ts";
import { MonitorStore } from "./store.ts";
import { Watcher } from "./watcher.ts";

/** Windows are hours long; a transaction is worth waiting a moment for company. */
const LINGER_MS = 50;

/** Starts the service's parts in order, and gives each to the stack. */
export async function startMonitor(
  stack: AsyncDisposableStack,
  config: Config,
  context: ServiceContext,
): Promise<{ rpc: RpcServer }> {
  const { logger } = context;
  const onFailure = (error: unknown): void => context.fail(error);
  const database = stack.use(await connectDatabase(config.database, logger));
  await migrate(database, migrations);
  const bus = stack.use(await connectBus(config.bus, "monitor", logger));

  const outbox = new Outbox(bus, database);
  await outbox.recover();
  const store = new MonitorStore(database);
  const models = stack.use(new Models(store));
  await models.follow(bus, { logger, onFailure });
  const people = new PeopleStore(database);
  const watcher = new Watcher({ store, people, models, outbox });
  observeWatcher(watcher);
  stack.use(
    await watchApps(bus, async ({ app }) => app && (await watcher.adopt(monitoringRules(app))), { logger, onFailure }),
  );

  const predictions = {
    stream: "PREDICTIONS",
    durable: "monitor-predictions",
    filter: "predictions.>",
    maxBatch: 500,
    lingerMs: LINGER_MS,
  };
  stack.use(await bus.consume({ ...predictions, onFailure, handle: handlePredictions(watcher, models) }));
  const outcomes = {
    stream: "OUTCOMES",
    durable: "monitor-outcomes",
    filter: "outcomes.>",
    maxBatch: 32,
    lingerMs: LINGER_MS,
  };
  stack.use(await bus.consume({ ...outcomes, onFailure, handle: handleOutcomes(watcher) }));

  const rollbacks = { stream: "MODELS", durable: "monitor-models", filter: "models.>", maxBatch: 16 };
  const rollbackParts = { store: new RollbackStore(database), people, outbox };
  stack.use(await bus.consume({ ...rollbacks, onFailure, handle: handleRollbacks(rollbackParts) }));

  for (const receiver of config.receivers ?? []) {
    const alerts = { stream: "ALERTS", durable: `monitor-${receiver.name}`, filter: "alerts.>", maxBatch: 16 };
    stack.use(await bus.consume({ ...alerts, onFailure, handle: deliverTo(receiver, logger) }));
  }

  const services = [monitorService({ watcher, store, people, models })];
  const rpc = stack.use(await startRpcServer({ address: config.grpcAddress, services, logger }));
  logger.info({ grpc: rpc.address }, `gRPC on ${rpc.address}`);
  return { rpc };
}
