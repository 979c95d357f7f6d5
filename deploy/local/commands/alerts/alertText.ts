import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type Alert,
  type AlertEvidence,
  AlertState,
  type Picture,
  Severity,
} from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import type { Mute } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { alignedTable, wrapText } from "../../alignedTable.ts";

const WIDTH = 100;
/** Of the longest bar, characters. */
const BAR = 30;

const STATES: Readonly<Record<AlertState, string>> = {
  [AlertState.UNSPECIFIED]: "",
  [AlertState.OPEN]: "open",
  [AlertState.UPDATED]: "open",
  [AlertState.RESOLVED]: "resolved",
};
const SEVERITIES: Readonly<Record<Severity, string>> = {
  [Severity.UNSPECIFIED]: "",
  [Severity.WARNING]: "warning",
  [Severity.CRITICAL]: "critical",
};

/** Alerts as a table, and what is muted. */
export function alertTable(alerts: readonly Alert[], mutes: readonly Mute[]): string[] {
  const rows = alerts.map((alert) => [
    alert.id,
    moment(alert.openedAt),
    `${STATES[alert.state]}${alert.muted ? ", muted" : ""}`,
    SEVERITIES[alert.severity] ?? "",
    [...new Set(alert.evidence.map(({ subject }) => subject))].join(", "),
    alert.acknowledgement?.by ?? "",
  ]);
  const columns = ["id", "opened", "state", "severity", "about", "taken on by"].map((title) => ({ title }));
  return [
    ...alignedTable(columns, rows),
    ...mutes.map(
      ({ id, monitor, subject, until, by, reason }) =>
        `${id}: ${by} wants to hear nothing of ${[monitor, subject].filter((part) => part !== "").join(" of ") || "any alert"} until ${moment(until)}${reason === "" ? "" : ` (${reason})`}`,
    ),
  ];
}

/** One alert for people: what, since when, why, what next, and its inputs before and after. */
export function describeAlert(alert: Alert): string[] {
  const { id, title, advice, evidence, acknowledgement, causes } = alert;
  const state = `${STATES[alert.state]}${alert.muted ? ", muted" : ""}, ${SEVERITIES[alert.severity]}`;
  return [
    `${id}   ${state}, opened ${moment(alert.openedAt)}, last change ${moment(alert.changedAt)}`,
    wrapText(title, WIDTH),
    wrapText(advice, WIDTH),
    ...(causes.length === 0 ? [] : [`likely cause: ${causes.join(", ")}`]),
    ...(acknowledgement === undefined
      ? []
      : [`taken on by ${acknowledgement.by}${acknowledgement.note === "" ? "" : `: ${acknowledgement.note}`}`]),
    ...evidence.flatMap(describeEvidence),
  ];
}

function describeEvidence({ subject, statistic, value, limit, pValue, importance, picture }: AlertEvidence): string[] {
  const worth = importance === undefined ? "" : `, importance ${(100 * importance).toFixed(1)} %`;
  const line = `${subject}: ${statistic} ${value.toFixed(3)}, limit ${limit.toFixed(3)}, p ${pValue.toExponential(1)}${worth}`;
  return ["", line, ...(picture === undefined ? [] : drawn(picture))];
}

/** The shares of the reference and of now, one line a bin. */
function drawn({ edges, reference, current, referenceMissing, currentMissing }: Picture): string[] {
  const most = Math.max(...reference, ...current, referenceMissing, currentMissing, 1e-9);
  const bar = (share: number): string => "█".repeat(Math.round((BAR * share) / most));
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const line = (name: string, before: number, now: number): string[] => [
    name,
    percent(before),
    percent(now),
    bar(before),
    bar(now),
  ];
  const rows = reference.map((share, bin) => line(binName(edges, bin), share, current[bin] ?? 0));
  const missing = line("missing", referenceMissing, currentMissing);
  const columns = [
    { title: "  bin" },
    { title: "before", align: "right" },
    { title: "now", align: "right" },
    { title: "before".padEnd(BAR) },
    { title: "now" },
  ] as const;
  return alignedTable(
    columns,
    [...rows, missing].map(([name, ...rest]) => [`  ${name}`, ...rest]),
  );
}

function binName(edges: readonly number[], bin: number): string {
  const [low, high] = [edges[bin - 1], edges[bin]];
  if (low === undefined) return high === undefined ? "all" : `up to ${short(high)}`;
  return high === undefined ? `over ${short(low)}` : `${short(low)} to ${short(high)}`;
}

const short = (value: number): string => String(Number(value.toPrecision(4)));

const moment = (time: Alert["openedAt"]): string =>
  time === undefined ? "" : timestampDate(time).toISOString().slice(0, 16).replace("T", " ");
