/**
 * Events a second through one ingestion process, against a bare loop that stores and publishes them unchecked.
 *
 * Both find the same flights' events waiting in EVENTS, each runs alone in a process of its own, on the same NATS and PostgreSQL, which
 * writes to disk as in production. Ingestion checks every event, finds duplicates, stores, republishes and acknowledges them; the bare
 * loop (test/bench/ingest/bareLoop.ts) fetches 2,000, inserts them with one statement, publishes each and acknowledges, one step after
 * the other. Then producers publish faster than ingestion takes in, which is held up half of the time: its memory must not follow its
 * lag, and when EVENTS is full, producers are refused, and nothing is dropped.
 */
import { join } from "node:path";
import { type Bus, connectBus } from "@millrace/bus";
import { connectDatabase } from "@millrace/db";
import { DATA_FROM_MS, readFlights } from "@millrace/flight-delays";
import { freePort, OwnProcess, type Platform, startPlatform, waitFor } from "@millrace/local";
import { describeError, silentLogger } from "@millrace/runtime";
import { TemporaryFolder } from "@millrace/test-harness";
import { applyFlightDelays, publishFlights } from "./ingest/publishFlights.ts";
import { cpuSeconds } from "./processes/cpuTime.ts";
import { peakMemoryMiB, resetPeakMemory } from "./processes/peakMemory.ts";

const AIM = 0.8;
const EVENTS = Number(process.argv[2] ?? 300_000);
/** Each is measured so often, in turns; the best counts. */
const ROUNDS = Number(process.argv[3] ?? 2);
const ROOT = join(import.meta.dirname, "../..");
const TELEMETRY = join(ROOT, "services/lib/runtime/telemetry.ts");
/** The first messages are left out: compiling the code, opening connections. */
const WARM_UP = 20_000;

interface Throughput {
  readonly eventsPerSecond: number;
  readonly cpuMicrosecondsPerEvent: number;
  readonly peakMiB: number;
}

const nodeProcess = async (platform: Platform, name: string, main: string): Promise<OwnProcess> => {
  const { url, user, password } = platform.nats(name === "ingestion" ? "ingestion" : "admin");
  return OwnProcess.start({
    name,
    command: process.execPath,
    arguments: ["--disable-warning=ExperimentalWarning", "--import", TELEMETRY, main],
    environment: {
      NATS_URL: url,
      NATS_USER: user,
      NATS_PASSWORD: password,
      DATABASE_URL: platform.databaseUrl,
      MILLRACE_HTTP_PORT: String(await freePort()),
      MILLRACE_GRPC_ADDRESS: `127.0.0.1:${await freePort()}`,
    },
    logFile: platform.home.logFile(name),
  });
};

const startIngestion = (platform: Platform): Promise<OwnProcess> =>
  nodeProcess(platform, "ingestion", join(ROOT, "services/ingestion/main.ts"));

/** How many messages a consumer has acknowledged without a gap; 0 before it exists. */
const acknowledged = async (bus: Bus, durable: string): Promise<number> =>
  await bus.manager.consumers.info("EVENTS", durable).then(
    ({ ack_floor }) => ack_floor.stream_seq,
    () => 0,
  );

/** Lets a process take in all that waits, from the first message on, and stops it. */
async function measure(bus: Bus, child: OwnProcess, durable: string): Promise<Throughput> {
  await using running = child;
  const failed = running.ended.then((how) => {
    throw new Error(`${running.name} ended (${how}): ${running.lastWords()}`);
  });
  failed.catch(() => undefined);
  const reach = (count: number): Promise<number> =>
    waitFor(
      async () => {
        const done = await acknowledged(bus, durable);
        return done >= count ? done : undefined;
      },
      { deadlineMs: 300_000, everyMs: 20, what: `${durable} to take ${count} events in` },
    );
  const from = await Promise.race([reach(WARM_UP), failed]);
  const startMs = performance.now();
  const startCpu = cpuSeconds(running.pid);
  resetPeakMemory(running.pid);
  const to = await Promise.race([reach(EVENTS), failed]);
  const seconds = (performance.now() - startMs) / 1_000;
  return {
    eventsPerSecond: (to - from) / seconds,
    cpuMicrosecondsPerEvent: ((cpuSeconds(running.pid) - startCpu) * 1e6) / (to - from),
    peakMiB: peakMemoryMiB(running.pid),
  };
}

/** Makes a stream of events be met for the first time. */
async function forget(platform: Platform, bus: Bus, durable: string): Promise<void> {
  await bus.manager.consumers.delete("EVENTS", durable).catch(() => undefined);
  await bus.manager.streams.purge("ACCEPTED");
  await using database = await connectDatabase({ url: platform.databaseUrl, schema: "public" }, silentLogger);
  await database.query({ text: "DROP TABLE IF EXISTS bare_log" });
  await database.query({ text: "DROP SCHEMA ingestion CASCADE" });
  await database.query({ text: "CREATE SCHEMA ingestion" });
}

const show = (name: string, { eventsPerSecond, cpuMicrosecondsPerEvent, peakMiB }: Throughput): void =>
  console.log(
    `${name.padEnd(10)} ${Math.round(eventsPerSecond).toLocaleString("en").padStart(8)} events/s  ` +
      `${cpuMicrosecondsPerEvent.toFixed(1).padStart(6)} µs of its processor time per event  peak ${peakMiB.toFixed(0)} MiB`,
  );

const best = (rounds: readonly Throughput[]): Throughput =>
  rounds.reduce((left, right) => (right.eventsPerSecond > left.eventsPerSecond ? right : left));

interface Flood {
  readonly publishedPerSecond: number;
  readonly largestLag: number;
  readonly peakMiB: number;
  /** Where the stream was full: what producers were told. */
  readonly refusal: string;
  readonly lost: number;
}

function holdUpHalfOfTheTime(pid: number): Disposable {
  let held = false;
  const timer = setInterval(() => {
    held = !held;
    process.kill(pid, held ? "SIGSTOP" : "SIGCONT");
  }, 200);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      process.kill(pid, "SIGCONT");
    },
  };
}

/** Producers that do not wait for ingestion, until EVENTS is full. */
async function flood(platform: Platform, bus: Bus, publish: () => Promise<number>): Promise<Flood> {
  await forget(platform, bus, "ingestion-all");
  await bus.manager.streams.purge("EVENTS");
  const { state, config } = await bus.manager.streams.info("EVENTS");
  await bus.manager.streams.update("EVENTS", { ...config, max_msgs: EVENTS });
  const before = state.last_seq;
  await using child = await startIngestion(platform);
  await waitFor(async () => (await bus.manager.consumers.info("EVENTS", "ingestion-all")) !== undefined, {
    deadlineMs: 30_000,
  });
  resetPeakMemory(child.pid);
  using _ = holdUpHalfOfTheTime(child.pid);
  let largestLag = 0;
  const stopping = new AbortController();
  const startMs = performance.now();
  const looking = (async () => {
    while (!stopping.signal.aborted) {
      const { num_pending, num_ack_pending } = await bus.manager.consumers.info("EVENTS", "ingestion-all");
      largestLag = Math.max(largestLag, num_pending + num_ack_pending);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  let refusal = "none";
  try {
    await publish();
  } catch (error) {
    refusal = describeError(error);
  }
  const published = (await bus.manager.streams.info("EVENTS")).state.last_seq - before;
  const publishedPerSecond = published / ((performance.now() - startMs) / 1_000);
  await waitFor(async () => (await acknowledged(bus, "ingestion-all")) >= before + published, {
    deadlineMs: 300_000,
    what: "ingestion to catch up",
  });
  stopping.abort();
  await looking;
  await using database = await connectDatabase({ url: platform.databaseUrl, schema: "ingestion" }, silentLogger);
  const [row] = await database.query<{ count: string }>({ text: "SELECT count(*) FROM event_log" });
  return {
    publishedPerSecond,
    largestLag,
    peakMiB: peakMemoryMiB(child.pid),
    refusal,
    lost: published - Number(row?.count),
  };
}

await using folder = new TemporaryFolder({ everybodyMayEnter: true });
await using platform = await startPlatform({ home: folder.join("home"), services: [], say: console.log });
await using bus = await connectBus(platform.nats("admin"), "bench", silentLogger);
const DAY_MS = 86_400_000;
const flights = await readFlights(DATA_FROM_MS, DATA_FROM_MS + 60 * DAY_MS);
/** The broker still knows the first ones' ids. */
const others = await readFlights(DATA_FROM_MS + 60 * DAY_MS, DATA_FROM_MS + 180 * DAY_MS);
await applyFlightDelays(bus);
const waiting = await publishFlights(bus, flights, EVENTS);
console.log(`${waiting.toLocaleString("en")} events wait in EVENTS`);

const bare: Throughput[] = [];
const ours: Throughput[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  await forget(platform, bus, "bare-loop");
  bare.push(
    await measure(
      bus,
      await nodeProcess(platform, "bare-loop", join(import.meta.dirname, "ingest/bareLoop.ts")),
      "bare-loop",
    ),
  );
  show("bare loop", bare.at(-1) as Throughput);
  await forget(platform, bus, "ingestion-all");
  ours.push(await measure(bus, await startIngestion(platform), "ingestion-all"));
  show("ingestion", ours.at(-1) as Throughput);
}
await bus.manager.consumers.delete("EVENTS", "bare-loop");

console.log("producers that do not wait, until EVENTS is full");
const flooded = await flood(platform, bus, () => publishFlights(bus, others, 4 * EVENTS));
console.log(
  `${Math.round(flooded.publishedPerSecond).toLocaleString("en")} events/s published, at most ${flooded.largestLag.toLocaleString("en")} waiting, ` +
    `peak ${flooded.peakMiB.toFixed(0)} MiB, ${flooded.lost} lost; producers were told: ${flooded.refusal}`,
);
console.log(
  JSON.stringify({
    bench: "ingest",
    ratio: best(ours).eventsPerSecond / best(bare).eventsPerSecond,
    aim: AIM,
    yardstick: "events/s of a bare loop: fetch 2,000, one multi-row insert, publish each, acknowledge",
    figures: { events: waiting, ingestion: best(ours), bareLoop: best(bare), flood: flooded },
  }),
);
