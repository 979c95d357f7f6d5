import { type Bus, connectBus } from "@millrace/bus";
import { connectDatabase, migrate } from "@millrace/db";
import { Outbox } from "@millrace/outbox";
import { type RpcServer, startRpcServer } from "@millrace/rpc";
import { type Clock, type ServiceContext, systemClock } from "@millrace/runtime";
import { Apps } from "./apps.ts";
import type { Config } from "./config.ts";
import { feedbackService } from "./grpc.ts";
import { Joiner } from "./joiner.ts";
import { LabelConsumers } from "./labelConsumers.ts";
import { LabelWatch } from "./labelWatch.ts";
import { observeLabels } from "./metrics.ts";
import { migrations } from "./migrations/migrations.ts";
import { handleAlerts, handleModelEvents } from "./newsConsumers.ts";
import { handlePredictions } from "./predictionConsumer.ts";
import { Reporter } from "./reporter.ts";
import { Reports } from "./reports.ts";
import { Retraining } from "./retraining.ts";
import { RetrainingStore } from "./retrainingStore.ts";
import { ReviewQueue } from "./reviewQueue.ts";
import { OutcomeStore } from "./store.ts";

/** A prediction's truth is minutes away at the soonest; a transaction is worth waiting a moment for company. */
const PREDICTION_LINGER_MS = 25;

/** Messages in hand at once. Each may carry a hundred rows. */
const PREDICTION_MESSAGES = 500;

/** Starts the service's parts in order, and gives each to the stack. */
export async function startFeedback(
  stack: AsyncDisposableStack,
  config: Config,
  context: ServiceContext,
  clock: Clock = systemClock,
): Promise<{ rpc: RpcServer }> {
  const { logger } = context;
  const fail = (error: unknown): void => context.fail(error);
  const database = stack.use(await connectDatabase(config.database, logger));
  await migrate(database, migrations);
  const bus = stack.use(await connectBus(config.bus, "feedback", logger));

  const outbox = new Outbox(bus, database);
  await outbox.recover();
  const retrainingStore = new RetrainingStore(database);
  const { jobTimeoutMs } = config;
  const retraining = new Retraining({ store: retrainingStore, outbox, clock, jobTimeoutMs, logger });

  const apps = stack.use(new Apps());
  const find = (name: string) => apps.get(name);
  const labelWatch = new LabelWatch(database, outbox);
  observeLabels(async () => (await Promise.all([...apps.all].map((app) => labelWatch.quality(app)))).flat());
  const store = new OutcomeStore(database, clock);
  const predictionsPending = () => hasPending(bus, "PREDICTIONS", "feedback-predictions");
  const joiner = new Joiner({ app: find, store, outbox, retraining, labelWatch, predictionsPending });
  const labels = stack.use(new LabelConsumers({ bus, joiner, onFailure: fail }));
  await apps.follow(bus, { logger, onChange: (app) => labels.follow(app), onFailure: fail });

  const news = { store: retrainingStore, retraining, app: find };
  const durable = (stream: string, filter: string, maxBatch: number) => ({
    stream,
    durable: `feedback-${stream.toLowerCase()}`,
    filter,
    maxBatch,
    onFailure: fail,
  });
  stack.use(await bus.consume({ ...durable("MODELS", "models.>", 16), handle: handleModelEvents(news) }));
  stack.use(await bus.consume({ ...durable("ALERTS", "alerts.>", 16), handle: handleAlerts(news) }));
  const predictions = {
    ...durable("PREDICTIONS", "predictions.>", PREDICTION_MESSAGES),
    lingerMs: PREDICTION_LINGER_MS,
  };
  stack.use(await bus.consume({ ...predictions, handle: handlePredictions(joiner) }));

  const reports = new Reports(database);
  const reporter = new Reporter(database, bus, clock);
  const reviews = new ReviewQueue(database, outbox, clock);
  const services = [feedbackService({ reports, labelWatch, retraining, reporter, reviews, app: find })];
  const rpc = stack.use(await startRpcServer({ address: config.grpcAddress, services, logger }));
  logger.info({ grpc: rpc.address }, `gRPC on ${rpc.address}`);
  return { rpc };
}

/** Whether a consumer has messages to come, or that it has not acknowledged yet. */
async function hasPending(bus: Bus, stream: string, durable: string): Promise<boolean> {
  const { num_pending, num_ack_pending } = await bus.manager.consumers.info(stream, durable);
  return num_pending + num_ack_pending > 0;
}
