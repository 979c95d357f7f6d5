import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type {
  DataQuality,
  FieldQuality,
  ListDataQualityResponse,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { alignedTable, type TableColumn } from "../../alignedTable.ts";
import { sparkline } from "../dataset/sparkline.ts";

const HOUR_MS = 3_600_000;

/** The longest line of bars; more hours than this share bars. */
const MAX_BARS = 72;

/** The answer as people read it: a block for each event type, a row for each field, then what looks odd. */
export function qualityText(app: string, response: ListDataQualityResponse): string {
  const fromMs = millisecondsOf(response.from);
  const toMs = millisecondsOf(response.to);
  const range = `from ${minute(fromMs)} to ${minute(toMs)} (event time, UTC)`;
  // The answer of a clock that no event has set yet.
  if (response.totals.length === 0 && toMs <= HOUR_MS) return `${app} has no events yet.`;
  if (response.totals.length === 0) return `${app} has no events ${range}. Other hours: --hours <n> --until <time>`;
  const blocks = response.totals.map((total) => {
    const volumes = volumesOf(response.hours, total.type, fromMs, toMs);
    return [headline(total), volumeLine(volumes), "", ...tableOf(total)].join("\n");
  });
  return [`${app} ${range}`, ...blocks, findingsText(response)].join("\n\n");
}

const millisecondsOf = (time: Timestamp | undefined): number => (time === undefined ? 0 : timestampMs(time));

const minute = (milliseconds: number): string => new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ");

const count = (number: bigint | number): string => number.toLocaleString("en-US");

function headline({ type, accepted, rejected, violations, unknownValues }: DataQuality): string {
  const more = [
    ...reasonsOf(violations),
    ...(unknownValues > 0n ? [`values not in the schema ${count(unknownValues)}`] : []),
  ];
  return `${type}   ${count(accepted)} accepted, ${count(rejected)} rejected${more.length > 0 ? `   (${more.join(", ")})` : ""}`;
}

const reasonsOf = (violations: { readonly [reason: string]: bigint }): string[] =>
  Object.entries(violations)
    .sort(([, left], [, right]) => Number(right - left))
    .map(([reason, times]) => `${reason} ${count(times)}`);

/** Events of a type, hour by hour, hours without any included. */
function volumesOf(hours: readonly DataQuality[], type: string, fromMs: number, toMs: number): number[] {
  const firstMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS;
  const volumes = Array.from({ length: Math.max(1, Math.ceil((toMs - firstMs) / HOUR_MS)) }, () => 0);
  for (const { type: other, hour, accepted, rejected } of hours) {
    if (other !== type) continue;
    volumes[Math.floor((millisecondsOf(hour) - firstMs) / HOUR_MS)] = Number(accepted + rejected);
  }
  return volumes;
}

function volumeLine(volumes: readonly number[]): string {
  const hoursPerBar = Math.ceil(volumes.length / MAX_BARS);
  const sums: number[] = [];
  for (let start = 0; start < volumes.length; start += hoursPerBar) {
    sums.push(volumes.slice(start, start + hoursPerBar).reduce((sum, volume) => sum + volume, 0));
  }
  const most = Math.max(...sums);
  // Nothing is seen at a glance, so it is left blank.
  const bars = sparkline(
    sums.map((sum) => (sum === 0 ? Number.NaN : sum)),
    0,
    most,
  );
  const step = hoursPerBar === 1 ? "hour" : `${hoursPerBar} hours`;
  return `  events per ${step}   |${bars}|   at most ${count(most)}`;
}

const COLUMNS: readonly TableColumn[] = [
  { title: "field" },
  { title: "events", align: "right" },
  { title: "missing", align: "right" },
  { title: "different", align: "right" },
  { title: "range" },
  { title: "mean ± deviation" },
  { title: "broken rules" },
];

/** Indented; above 128, the number of different values is an estimate. */
const tableOf = ({ fields }: DataQuality): string[] =>
  alignedTable(COLUMNS, fields.map(rowOf)).map((line) => `  ${line}`);

function rowOf(field: FieldQuality): string[] {
  const { name, events, missing, distinct, violations } = field;
  return [
    name,
    count(events),
    percent(missing, events),
    `${Number.isInteger(distinct) ? "" : "~"}${count(Math.round(distinct))}`,
    rangeOf(field),
    meanOf(field),
    reasonsOf(violations).join(", ") || "-",
  ];
}

/** Never 0 % when something is missing, nor 100 % when something is there. */
function percent(part: bigint, whole: bigint): string {
  if (part === 0n || whole === 0n) return "0 %";
  if (part === whole) return "100 %";
  const share = Math.min(99.9, Math.max(0.1, (Number(part) / Number(whole)) * 100));
  return `${share.toFixed(1)} %`;
}

function rangeOf({ type, min, max }: FieldQuality): string {
  if (min === undefined || max === undefined) return "-";
  const [low, high] = type === FieldType.BOOL ? [String(min === 1), String(max === 1)] : [min, max].map(shown(type));
  return `${low === high ? low : `${low} … ${high}`}${type === FieldType.STRING ? " characters" : ""}`;
}

const shown = (type: FieldType) => (type === FieldType.TIMESTAMP ? minute : number);

function meanOf({ type, mean, squaredDifferences, values }: FieldQuality): string {
  if (mean === undefined) return "-";
  if (type === FieldType.BOOL) return `${(mean * 100).toFixed(1)} % true`;
  if (type === FieldType.TIMESTAMP) return minute(mean);
  const deviation =
    squaredDifferences === undefined ? "" : ` ± ${number(Math.sqrt(squaredDifferences / Number(values)))}`;
  return `${number(mean)}${deviation}`;
}

/** Four digits, as far as they say something. */
function number(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-3)) return value.toExponential(3);
  return value.toLocaleString("en-US", { maximumSignificantDigits: Math.max(4, Math.ceil(Math.log10(size + 1))) });
}

function findingsText({ findings }: ListDataQualityResponse): string {
  if (findings.length === 0) return "Nothing looks odd.";
  return ["What looks odd:", ...findings.map(({ title, advice }) => `  ${title}\n    → ${advice}`)].join("\n");
}
