import { connectBus } from "@millrace/bus";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type RpcServer, startRpcServer } from "@millrace/rpc";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { AppDirectory } from "./appDirectory.ts";
import type { Config } from "./config.ts";
import { Deployments } from "./deployments.ts";
import { predictionService } from "./grpc.ts";
import { InlineExecutor } from "./inlineExecutor.ts";
import { PredictCounts } from "./metrics.ts";
import { ModelDirectory } from "./modelDirectory.ts";
import { ModelLoader } from "./modelLoader.ts";
import { observeGateway } from "./observation.ts";
import { startInferenceService } from "./oip/inferenceService.ts";
import { Predictor } from "./predictor.ts";
import { Recorder } from "./recorder.ts";
import { Scheduler } from "./scheduler.ts";
import { DEFAULT_BATCH } from "./servedApp.ts";
import { Shadows } from "./shadow.ts";
import { ShadowWorkers } from "./shadowWorkers.ts";
import { ThreadLoad, threadBusyMs } from "./threadLoad.ts";
import { WorkerPool } from "./workers/workerPool.ts";

export interface GatewayContext {
  readonly logger: Logger;
  /** The gateway cannot go on and has to be started anew. */
  readonly fail: (error: unknown) => void;
}

/** Deadlines, queue times and breakers go by this clock; it never jumps. */
export const monotonicClock: Clock = { now: () => performance.now() };

/** Builds the gateway's parts, each given to the stack: the bus, the workers, the models, the apps, the server. */
export async function startGateway(
  stack: AsyncDisposableStack,
  config: Config,
  { logger, fail }: GatewayContext,
): Promise<RpcServer> {
  const clock = monotonicClock;
  const bus = stack.use(await connectBus(config.bus, "inference-gateway", logger));
  const counts = new PredictCounts();
  const pool = stack.use(
    await WorkerPool.start({
      size: config.workers,
      stuckAfterMs: config.stuckAfterMs,
      maxAbandoned: config.maxAbandonedWorkers,
      logger,
      onExhausted: () => fail(new MillraceError("internal", "too many inference workers are stuck: restarting")),
    }),
  );
  const objects = await bus.objects("models");
  const recorder = stack.use(new Recorder({ bus, clock, logger, counts, maxUnconfirmed: config.maxUnconfirmed }));
  const shadows = new Shadows({ recorder, counts, clock });
  const shadowWorkers = stack.use(
    new ShadowWorkers({
      objects,
      stuckAfterMs: config.stuckAfterMs,
      maxAbandoned: config.maxAbandonedWorkers,
      clock,
      logger,
      onExhausted: () => {
        shadows.stop();
        logger.error({}, "too many workers are stuck in shadows: none is asked any more until a restart");
      },
    }),
  );
  // A thread in a native call that does not end would hold up the exit for ever.
  const stuck = (): boolean => pool.hasStuckThreads || shadowWorkers.hasStuckThreads;
  const killWhenStuck = (): void => {
    if (stuck()) process.kill(process.pid, "SIGKILL");
  };
  process.on("exit", killWhenStuck);
  stack.defer(() => {
    if (!stuck()) process.off("exit", killWhenStuck);
  });
  const directory = new ModelDirectory();
  const loader = new ModelLoader({
    directory,
    objects,
    workers: new Scheduler(pool),
    inline: new Scheduler(new InlineExecutor()),
    mode: config.mode,
    threads: config.threads,
    clock,
    logger,
  });
  let deployments: Deployments | undefined;
  const apps = stack.use(
    await AppDirectory.start({
      bus,
      clock,
      logger,
      cacheBytes: config.cacheBytes,
      cacheGraceMs: config.cacheGraceMs,
      onChange: ({ name }) => deployments?.reconfigure(name),
      onFailure: fail,
    }),
  );
  // A health check for `<app>/<number>` tells whether that version answers.
  const health = new Map<string, boolean>();
  let server: RpcServer | undefined;
  deployments = stack.use(
    await Deployments.start({
      bus,
      loader,
      shadowLoader: () => shadowWorkers.loader(),
      logger,
      onServing: (version, serving) => {
        health.set(version, serving);
        server?.setServing(version, serving);
      },
      batching: (app) => apps.get(app)?.app.batch ?? DEFAULT_BATCH,
      misfit: (app, model) => misfit(apps, app, model),
      onFailure: fail,
    }),
  );
  const load = new ThreadLoad({ clock, busyMs: threadBusyMs });
  observeGateway({ apps, deployments, recorder, pool, counts, load, clock });
  const { maxCalls, maxRows } = config;
  const parts = { apps, deployments, recorder, shadows, counts, load, clock, logger };
  const predictor = new Predictor({ ...parts, maxCalls, maxRows });
  directory.preferred = (app) => {
    const champion = deployments.serving(app)?.champion;
    return champion && String(champion.model.number);
  };
  const openInference = await startInferenceService({
    config,
    clock,
    logger,
    loader,
    directory,
    apps,
    deployments,
    load,
  });
  const { grpcAddress: address, maxMessageBytes } = config;
  const services = [predictionService(predictor), openInference];
  server = stack.use(await startRpcServer({ address, services, logger, maxMessageBytes }));
  for (const [version, serving] of health) server.setServing(version, serving);
  logger.info({ address: server.address }, `PredictionService and GRPCInferenceService listen on ${server.address}`);
  return server;
}

function misfit(apps: AppDirectory, app: string, model: ModelVersion): string | undefined {
  try {
    apps.get(app)?.app.columns(model);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
