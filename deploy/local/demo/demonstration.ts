import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, connectBus } from "@millrace/bus";
import { APP, type Flights, readFlights, Timeline } from "@millrace/flight-delays";
import { Health, HealthCheckResponse_ServingStatus } from "@millrace/proto/grpc/health/v1/health_pb.ts";
import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { Pool } from "pg";
import { ROOT } from "../home.ts";
import type { Platform } from "../platform.ts";
import { waitFor } from "../waitFor.ts";
import { backlog } from "./backlog.ts";
import { checkInvariants } from "./invariants.ts";
import { News } from "./news.ts";
import { type DemoOptions, day } from "./options.ts";
import { Predictor } from "./predictor.ts";
import type { Progress } from "./progress.ts";
import { Publisher } from "./publisher.ts";
import { loadHistory, replayLive } from "./replay.ts";
import { makeReport, type Phase, type Report } from "./report.ts";
import { Trainings } from "./trainings.ts";
import { FeatureWatermark, within } from "./watermark.ts";

const APP_FILE = join(ROOT, "deploy", "apps", "flight-delays", "app.yaml");
/** Nothing may be on its way for longer, at the end of a phase. */
const SETTLE_LIMIT_MS = 180_000;
const TRAINING_LIMIT_MS = 300_000;
/** How long a promoted model may take until it answers. */
const ADOPTION_LIMIT_MS = 30_000;

/** Runs the whole loop on a platform that has nothing stored for the app. */
export async function demonstrate(
  platform: Platform,
  options: DemoOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const bus = stack.use(await connectBus(platform.nats("admin"), "demonstration", silentLogger));
  const database = stack.adopt(new Pool({ connectionString: platform.databaseUrl, max: 2 }), (pool) => pool.end());
  const phases: Phase[] = [];
  await requireEmptyStores(bus);

  progress.stage = "reading the flights";
  const flights = await readFlights(options.fromMs, options.toMs);
  const { version } = await applyApp(bus, await readFile(APP_FILE, "utf8"));
  progress.notes.push(
    `applied ${APP} as version ${version.version}; ${flights.count.toLocaleString("en-US")} flights from ${day(options.fromMs)} to ${day(options.toMs)}`,
  );
  const trainings = stack.use(new Trainings(bus, APP, progress));
  const watermark = stack.use(await FeatureWatermark.follow(bus, APP, silentLogger, progress));
  stack.use(new News(bus, platform.grpc("ingestion"), APP, progress));
  const parts = {
    flights,
    timeline: new Timeline(flights),
    publisher: new Publisher(bus, progress),
    predictor: stack.use(new Predictor(platform.grpc("inference-gateway"), flights, progress)),
    watermark,
    trainings,
    progress,
    signal,
  };
  const settled = async (what: string): Promise<void> => {
    progress.stage = what;
    progress.share = undefined;
    await waitFor(async () => (await backlog(bus, database, watermark)).length === 0, {
      deadlineMs: SETTLE_LIMIT_MS,
      everyMs: 250,
      what: "everything that was published to be handled",
      signal,
    }).catch(async (cause: unknown) => {
      // The report will say what is left; here it only must not wait for ever.
      if (signal.aborted) throw cause;
      progress.notes.push(`still on its way: ${(await backlog(bus, database, watermark)).join("; ")}`);
    });
  };
  const phase = async (name: string, work: () => Promise<void>): Promise<void> => {
    const [begunMs, events, predictions] = [performance.now(), progress.published, progress.predicted];
    await work();
    const seconds = (performance.now() - begunMs) / 1_000;
    phases.push({ name, seconds, events: progress.published - events, predictions: progress.predicted - predictions });
  };

  await phase("history", async () => {
    progress.stage = `loading history, ${day(options.fromMs)} to ${day(options.liveFromMs)}`;
    await loadHistory(parts, options.liveFromMs);
    await settled("history: the services catch up");
  });
  await phase("first model", () => trainFirstModel(platform, parts, options.liveFromMs));
  await phase("live", async () => {
    progress.stage = `live traffic, ${day(options.liveFromMs)} to ${day(options.toMs)}`;
    const share = setInterval(() => {
      progress.share = (progress.eventTimeMs - options.liveFromMs) / (options.toMs - options.liveFromMs);
    }, 200);
    try {
      await replayLive(parts);
    } finally {
      clearInterval(share);
    }
    await settled("live: the last truth comes in");
    await trainings.idle();
  });
  progress.stage = "checking the invariants";
  const invariants = await checkInvariants({
    bus,
    database,
    watermark,
    app: APP,
    published: progress.published,
    answered: progress.predictionIds,
    datasetAddress: platform.grpc("feature"),
    live: { fromMs: options.liveFromMs, toMs: options.toMs },
  });
  progress.stage = "judging what was served";
  const period = { from: day(options.fromMs), liveFrom: day(options.liveFromMs), to: day(options.toMs) };
  return await makeReport({ app: APP, platform, bus, progress, period, phases, invariants });
}

/** Servers of the user's own may hold an earlier run, which the report's counts would mix with this one. */
async function requireEmptyStores(bus: Bus): Promise<void> {
  const { state } = await bus.manager.streams.info("EVENTS", { subjects_filter: `events.${APP}.>` });
  if (Object.keys(state.subjects ?? {}).length === 0) return;
  throw new MillraceError(
    "failed_precondition",
    `The NATS server holds events of ${APP} already, and the demonstration counts from nothing; give it empty servers in NATS_URL and DATABASE_URL, or leave both out`,
  );
}

async function trainFirstModel(
  platform: Platform,
  { trainings, progress }: { trainings: Trainings; progress: Progress; flights: Flights },
  asOfMs: number,
): Promise<void> {
  progress.stage = "training the first model";
  progress.share = undefined;
  using registry = connectRpc(RegistryService, platform.grpc("training"));
  const { jobId } = await registry.requestTraining({
    app: APP,
    reason: "history is loaded",
    asOf: timestampFromMs(asOfMs),
  });
  const event = await within(trainings.end(jobId), TRAINING_LIMIT_MS, "the first model");
  if (event.what !== "promoted") {
    throw new MillraceError("failed_precondition", `The first model was ${event.what}: ${event.reason}`);
  }
  progress.stage = "the gateway warms the first model up";
  using health = connectRpc(Health, platform.grpc("inference-gateway"));
  const service = `${APP}/${event.model?.number}`;
  await waitFor(async () => (await health.check({ service })).status === HealthCheckResponse_ServingStatus.SERVING, {
    deadlineMs: ADOPTION_LIMIT_MS,
    what: "the gateway to serve the first model",
  });
}
