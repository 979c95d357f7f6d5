import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseApp } from "@millrace/app";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import {
  type Flights,
  LATE_MINUTES,
  landedEvent,
  readFlights,
  scheduledEvent,
  Timeline,
} from "@millrace/flight-delays";

const DAY_MS = 86_400_000;
/** The longest window of a feature is seven days. */
const FROM_MS = Date.UTC(2001, 0, 1);
const FIRST_ROW_MS = FROM_MS + 7 * DAY_MS;
const TO_MS = Date.UTC(2001, 3, 16);
/** Every n-th flight becomes a row: some 4,200 a day. */
const EVERY = 4;
/** Airports with a category of their own; the others share one. */
const OWN_CATEGORIES = 15;

const FOLDER = join(tmpdir(), "millrace-bench-alerts");
export const APP_FILE = join(import.meta.dirname, "../../../deploy/apps/flight-delays/app.yaml");

/** What the model is asked: the app's eight features, and which airport it starts from, a category. */
export interface FlightRows {
  readonly names: readonly string[];
  /** One per name, in order of time. */
  readonly columns: readonly Float64Array[];
  /** 1: late. */
  readonly labels: Float64Array;
  readonly atMs: Float64Array;
}

export const CATEGORY = "origin_category";

/** Computed once by the engine that serves them, then kept in the machine's folder for temporary files. */
export async function flightRows(): Promise<FlightRows> {
  const app = readFileSync(APP_FILE, "utf8");
  const key = createHash("sha256").update(app).update(`${TO_MS} ${EVERY} ${OWN_CATEGORIES}`).digest("hex").slice(0, 16);
  const file = join(FOLDER, `rows-${key}.bin`);
  const names = [...compileFeatures(parseApp(app)).names, CATEGORY];
  if (!existsSync(file)) {
    const rows = computeRows(await readFlights(FROM_MS, TO_MS), app);
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(`${file}.part`, Buffer.concat(rows.map((column) => Buffer.from(column.buffer))));
    renameSync(`${file}.part`, file);
  }
  const all = new Float64Array(new Uint8Array(readFileSync(file)).buffer);
  const count = all.length / (names.length + 2);
  const column = (index: number): Float64Array => all.subarray(index * count, (index + 1) * count);
  return {
    names,
    columns: names.map((_, index) => column(index)),
    labels: column(names.length),
    atMs: column(names.length + 1),
  };
}

/** Features, category, label, time: one column each. */
function computeRows(flights: Flights, app: string): Float64Array[] {
  const set = compileFeatures(parseApp(app));
  const engine = new FeatureEngine(set);
  const categories = categoriesOf(flights.origin);
  const rows: number[][] = [...set.names, CATEGORY, "label", "at"].map(() => []);
  const timeline = new Timeline(flights);
  for (let happening = timeline.next(); happening !== undefined; happening = timeline.next()) {
    const { kind, flight, atMs } = happening;
    if (kind === "landed") {
      engine.applyFields("flight.landed", landedEvent(flights, flight).fields, atMs, atMs);
      continue;
    }
    const { fields } = scheduledEvent(flights, flight);
    if (atMs >= FIRST_ROW_MS && flight % EVERY === 0) {
      const late = (flights.delayMinutes[flight] as number) >= LATE_MINUTES ? 1 : 0;
      const category = categories.get(flights.origin[flight] as string) ?? OWN_CATEGORIES;
      [...engine.read({ occurredAtMs: atMs, fields }), category, late, atMs].forEach((value, index) =>
        rows[index]?.push(value),
      );
    }
    engine.applyFields("flight.scheduled", fields, atMs, atMs);
  }
  return rows.map((column) => Float64Array.from(column));
}

/** 0 for the busiest airport, 1 for the next … */
function categoriesOf(origins: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const origin of origins) counts.set(origin, (counts.get(origin) ?? 0) + 1);
  const busiest = [...counts].toSorted(([, a], [, b]) => b - a).slice(0, OWN_CATEGORIES);
  return new Map(busiest.map(([origin], index) => [origin, index]));
}
