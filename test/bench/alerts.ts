/**
 * Alerts on streams of real flights, with and without drift: false alarms, and how soon drift is told, beside the usual policies.
 *
 * Rows: a part of the flights of January to mid-April 2001, about 1,050 a window, with the features that the engine serves. A model of January gives the answers;
 * streams are made of the days from February on: some days are what a model was trained on, the windows after them are judged by the very code
 * that the monitor runs. Options: `--streams 200` of each kind, `--reference 28` days, `--window 24` hours, `--season 0` hours.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseApp } from "@millrace/app";
import { type MonitoringRules, monitoringRules } from "../../services/monitor/monitoringRules.ts";
import { probabilitiesOf } from "../../services/training/answers.ts";
import type { Matrix } from "../../services/training/matrix.ts";
import { type TrainedCandidate, trainCandidate } from "../../services/training/train.ts";
import { type DriftedStream, GRADUAL_DAYS, KINDS, type Kind, SIZES, type Size, withDrift } from "./alerts/drifts.ts";
import { APP_FILE, CATEGORY, type FlightRows, flightRows } from "./alerts/flightRows.ts";
import { referenceModel, runOurs, type Told } from "./alerts/ourPolicy.ts";
import { type Base, quietStream, rowsByDay, type Stream, type StreamShape } from "./alerts/streams.ts";
import { Detections, FalseAlarms } from "./alerts/tally.ts";
import { runUsual, USUAL } from "./alerts/usualPolicies.ts";

const STREAMS_FROM_MS = Date.UTC(2001, 1, 1);
const QUIET_DAYS = 28;
/** With drift: so many days before it, and after its beginning. */
const DAYS_BEFORE = 6;
const DAYS_AFTER = 10;
const IN_TIME = 3;
const OURS = "Millrace";
const POLICIES = [OURS, ...USUAL] as const;
type Policy = (typeof POLICIES)[number];

const { values: options } = parseArgs({
  options: {
    streams: { type: "string", default: "200" },
    reference: { type: "string", default: "28" },
    window: { type: "string", default: "24" },
    season: { type: "string", default: "0" },
  },
});
const HOUR_MS = 3_600_000;
const streamsOfEach = Number(options.streams);
const windowMs = Number(options.window) * HOUR_MS;
const windowsPerDay = 24 / Number(options.window);
const referenceDays = Number(options.reference);

const began = performance.now();
const rows = await flightRows();
const model = await trainModel(rows);
const probabilitiesBy = (columns: readonly Float64Array[]): Float64Array => probabilitiesOf(model.predict(columns));
const probabilities = probabilitiesBy(rows.columns);
/** Some thousand rows a window are enough, and quick. */
const every = Math.max(1, Math.round(4 / windowsPerDay));
const days = rowsByDay(rows, STREAMS_FROM_MS, every);
const rules = rulesOf();
const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(0);
console.log(`${rows.labels.length} rows of ${rows.names.length} features; a model of January; ${seconds()} s`);
console.log(
  `importance: ${rows.names.map((name, index) => `${name} ${model.importance[index]?.toFixed(3)}`).join(", ")}`,
);

/** The app's own rules; what it says of windows is replaced by the options, and the airport is a ninth input. */
function rulesOf(): MonitoringRules {
  const app = monitoringRules(parseApp(readFileSync(APP_FILE, "utf8")));
  const sources = new Map([...app.sources, [CATEGORY, ["flight.scheduled.origin"]]]);
  return {
    ...app,
    sources,
    windowMs,
    latenessMs: 0,
    minRows: 100,
    seasonMs: Number(options.season) * HOUR_MS,
  };
}

async function trainModel({ names, columns, labels, atMs }: FlightRows): Promise<TrainedCandidate> {
  const part = (every: number, rest: number): Matrix => {
    const pick = (column: Float64Array): Float64Array =>
      column.filter((_, row) => (atMs[row] as number) < STREAMS_FROM_MS && row % every === rest);
    return { featureNames: names, columns: columns.map(pick), labels: pick(labels) };
  };
  const request = { train: part(2, 0), validation: part(4, 1), calibration: part(4, 3) };
  return trainCandidate({ algorithm: "gbdt", ...request, parameters: { trees: 40, maxDepth: 4 }, threads: 1 });
}

const shapeOf = (liveDays: number): StreamShape => ({ windowMs, referenceDays, liveDays });
const makeStream = (base: Base, liveDays: number, seed: number): Stream =>
  quietStream(rows, probabilities, days, base, shapeOf(liveDays), seed);
const ours = (stream: Stream): Told[] =>
  runOurs(stream, referenceModel(stream, rows.names, [...model.importance], windowMs), rules);

/** Streams without drift: by policy, how often it cries. */
function measureFalseAlarms(base: Base): Map<Policy, FalseAlarms> {
  const tallies = new Map<Policy, FalseAlarms>(POLICIES.map((policy) => [policy, new FalseAlarms()]));
  for (let index = 0; index < streamsOfEach; index += 1) {
    const stream = makeStream(base, QUIET_DAYS, index + (base === "rows" ? 1_000_000 : 2_000_000));
    const windows = stream.live.length;
    const told = ours(stream);
    const opened = told.filter(({ change }) => change.state === "open");
    const open = (window: number): boolean =>
      opened.some(
        (one) =>
          one.window <= window &&
          !told.some(
            (end) => end.change.id === one.change.id && end.change.state === "resolved" && end.window <= window,
          ),
      );
    const inAlarm = stream.live.filter((_, window) => open(window)).length;
    tallies.get(OURS)?.add(windows, opened.length, inAlarm);
    for (const [policy, alarms] of Object.entries(runUsual(stream, rows.names))) {
      const raised = alarms.filter((alarm, window) => alarm && alarms[window - 1] !== true).length;
      tallies.get(policy as Policy)?.add(windows, raised, alarms.filter(Boolean).length);
    }
  }
  return tallies;
}

/** A drift in time is one told within three windows; a gradual one, of the time when it has its full size. */
const dueOf = (kind: Kind): number => (kind === "gradual" ? GRADUAL_DAYS * windowsPerDay - 1 : 0) + IN_TIME;

function measureDrift(kind: Kind): Map<string, Detections> {
  const tallies = new Map<string, Detections>();
  const tally = (policy: Policy, size: Size, base: string): Detections => {
    const name = `${policy} ${size} ${base}`;
    const known = tallies.get(name) ?? new Detections();
    tallies.set(name, known);
    return known;
  };
  const start = DAYS_BEFORE * windowsPerDay;
  for (let index = 0; index < streamsOfEach; index += 1) {
    const size = SIZES[index % SIZES.length] as Size;
    const base = index % 2 === 0 ? "rows" : "days";
    const quiet = makeStream(base, DAYS_BEFORE + DAYS_AFTER, index + 3_000_000);
    const drift = { kind, size, variant: Math.floor(index / 6) };
    const stream = withDrift(quiet, rows.names, drift, start, windowsPerDay, probabilitiesBy);
    const told = aboutDrift(ours(stream), stream, start);
    const delays = told.map(({ window }) => window - start + 1);
    const alerts = new Set(told.map(({ change }) => change.id)).size;
    const usual = Object.entries(runUsual(stream, rows.names)).map(([policy, alarms]) => {
      const first = alarms.findIndex((alarm, window) => alarm && window >= start);
      return [policy as Policy, first < 0 ? Infinity : first - start + 1, 1] as const;
    });
    for (const [policy, delay, count] of [[OURS, Math.min(Infinity, ...delays), alerts] as const, ...usual]) {
      for (const part of [base, "both"]) tally(policy, size, part).add(delay, delay <= dueOf(kind), count);
    }
  }
  return tallies;
}

/** What was told of the drift itself: about what it affects, once it had begun. */
function aboutDrift(told: readonly Told[], { affected }: DriftedStream, start: number): Told[] {
  return told.filter(
    ({ window, change }) =>
      window >= start &&
      change.state !== "resolved" &&
      change.evidence.some(({ subject }) => affected.includes(subject)),
  );
}

const figures: Record<string, unknown> = {};
const perThousand = new Map<Base, number>();
for (const base of ["rows", "days"] as const) {
  const tallies = measureFalseAlarms(base);
  const windows = tallies.get(OURS)?.windows ?? 0;
  console.log(`\nNo drift, whole ${base} shuffled: ${streamsOfEach} streams, ${windows} windows (${seconds()} s)`);
  console.log(`  ${"policy".padEnd(32)} alarms raised per 1,000 windows   windows in alarm per 1,000`);
  for (const [policy, tally] of tallies) {
    const [raised, inAlarm] = [tally.raisedPerThousand, tally.inAlarmPerThousand];
    console.log(`  ${policy.padEnd(32)} ${raised.toFixed(2).padStart(31)} ${inAlarm.toFixed(1).padStart(28)}`);
    figures[`no drift, ${base}, ${policy}`] = { raisedPerThousand: raised, inAlarmPerThousand: inAlarm };
  }
  perThousand.set(base, tallies.get(OURS)?.raisedPerThousand ?? Number.NaN);
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
let [medium, mediumInTime, spikes, paged] = [0, 0, 0, 0];
for (const kind of KINDS) {
  const tallies = measureDrift(kind);
  console.log(`\n${kind}: ${streamsOfEach} streams (${seconds()} s)`);
  console.log(
    `  told within ${dueOf(kind)} windows (rows shuffled / days shuffled), told at all, median delay in windows, alerts`,
  );
  for (const policy of POLICIES) {
    const cells = SIZES.map((size) => {
      const of = (base: string): Detections => tallies.get(`${policy} ${size} ${base}`) ?? new Detections();
      const both = of("both");
      figures[`${kind}, ${size}, ${policy}`] = {
        inTime: both.toldInTime,
        inTimeRows: of("rows").toldInTime,
        inTimeDays: of("days").toldInTime,
        told: both.told,
        medianDelay: both.medianDelay,
      };
      if (policy === OURS && kind === "spike") {
        spikes += both.streams;
        paged += both.told * both.streams;
      } else if (policy === OURS && size === "medium") {
        medium += both.streams;
        mediumInTime += both.toldInTime * both.streams;
      }
      const parts = `${percent(of("rows").toldInTime)}/${percent(of("days").toldInTime)}`;
      return `${size} ${percent(both.toldInTime)} (${parts}), ${percent(both.told)}, ${both.medianDelay}, ${both.alertsEach.toFixed(1)}`.padEnd(
        46,
      );
    });
    console.log(`  ${policy.padEnd(32)} ${cells.join(" ")}`);
  }
}

const detection = mediumInTime / medium;
console.log(
  `\nFalse alarms per 1,000 windows: ${perThousand.get("rows")?.toFixed(2)} with rows shuffled (aim 1), ` +
    `${perThousand.get("days")?.toFixed(2)} with days shuffled (aim 5). Medium drifts told in time: ${percent(detection)} (aim 95 %). ` +
    `Spikes paged: ${paged} of ${spikes}. ${seconds()} s.`,
);
console.log(
  JSON.stringify({
    bench: "alerts",
    ratio: detection,
    aim: 0.95,
    yardstick: "all medium drifts told within three windows, at no more false alarms than figures say",
    figures: {
      falseAlarmsPerThousandRows: perThousand.get("rows"),
      falseAlarmsPerThousandDays: perThousand.get("days"),
      spikesPaged: paged / spikes,
      ...figures,
    },
  }),
);
