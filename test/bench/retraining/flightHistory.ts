import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toJsonString } from "@bufbuild/protobuf";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import {
  DATA_FROM_MS,
  DATA_TO_MS,
  type Flights,
  LATE_MINUTES,
  landedEvent,
  landingMs,
  readFlights,
  scheduledEvent,
  Timeline,
} from "@millrace/flight-delays";
import { type App, AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";

const FOLDER = join(tmpdir(), "millrace-bench-retraining");
/** Of the file's rows: it is made anew when what is in it changes. */
const FORMAT = 1;

/** Flights in order of their departure, with what a model may know of them then. */
export interface FlightHistory {
  readonly names: readonly string[];
  /** One per name; as float32, as a model takes them. */
  readonly columns: readonly Float64Array[];
  /** 1: late. */
  readonly labels: Float64Array;
  /** Scheduled departure, ms: when it is asked. */
  readonly atMs: Float64Array;
  /** Landing, ms: before it nobody knows the label. */
  readonly landedMs: Float64Array;
}

/**
 * Every n-th of the six months' flights; its features by the engine that serves them, which sees all flights, each delay from its landing
 * on. Computed once, then kept in the machine's folder for temporary files.
 */
export async function flightHistory(app: App, every: number): Promise<FlightHistory> {
  const { names } = compileFeatures(app);
  const definitions = toJsonString(AppSchema, {
    ...app,
    model: undefined,
    monitoring: undefined,
    retraining: undefined,
    serving: undefined,
  });
  const key = createHash("sha256").update(`${FORMAT} ${every} ${definitions}`).digest("hex").slice(0, 16);
  const file = join(FOLDER, `rows-${key}.bin`);
  if (!existsSync(file)) {
    const rows = computeRows(await readFlights(DATA_FROM_MS, DATA_TO_MS), app, every);
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(`${file}.part`, Buffer.concat(rows.map((column) => Buffer.from(column.buffer))));
    renameSync(`${file}.part`, file);
  }
  const all = new Float64Array(new Uint8Array(readFileSync(file)).buffer);
  const count = all.length / (names.length + 3);
  const column = (index: number): Float64Array => all.subarray(index * count, (index + 1) * count);
  return {
    names,
    columns: names.map((_, index) => column(index)),
    labels: column(names.length),
    atMs: column(names.length + 1),
    landedMs: column(names.length + 2),
  };
}

/** Features, label, departure, landing: one column each. */
function computeRows(flights: Flights, app: App, every: number): Float64Array[] {
  const engine = new FeatureEngine(compileFeatures(app), { reportsChanges: false });
  const width = engine.set.names.length;
  const rows = Array.from({ length: width + 3 }, () => new Float64Array(Math.ceil(flights.count / every)));
  const timeline = new Timeline(flights);
  for (let happening = timeline.next(); happening !== undefined; happening = timeline.next()) {
    const { kind, flight, atMs } = happening;
    if (kind === "landed") {
      engine.applyFields("flight.landed", landedEvent(flights, flight).fields, atMs, atMs);
      continue;
    }
    const { fields } = scheduledEvent(flights, flight);
    if (flight % every === 0) {
      const late = (flights.delayMinutes[flight] as number) >= LATE_MINUTES ? 1 : 0;
      const features = engine.read({ occurredAtMs: atMs, fields }).map((value) => Math.fround(value));
      [...features, late, atMs, landingMs(flights, flight)].forEach((value, column) => {
        (rows[column] as Float64Array)[flight / every] = value;
      });
    }
    engine.applyFields("flight.scheduled", fields, atMs, atMs);
  }
  return rows;
}
