import type { BinaryMetrics } from "@millrace/metrics";
import type { Report } from "./report.ts";

/** The report as a person reads it. */
export function reportText(report: Report): string {
  return [
    heading(`Flight delays, ${report.period.from} to ${report.period.to}; live from ${report.period.liveFrom}`),
    ...eventLines(report),
    ...predictionLines(report),
    ...qualityLines(report),
    ...modelLines(report),
    ...alertLines(report),
    ...speedLines(report),
    ...invariantLines(report),
  ].join("\n");
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .sort(([, left], [, right]) => right - left)
    .map(([name, count]) => `${name} ${whole(count)}`)
    .join(", ") || "none";

const heading = (text: string): string => `\n${text}\n${"─".repeat(text.length)}`;
const line = (name: string, text: string): string => `  ${name.padEnd(14)}${text}`;

function eventLines({ events }: Report): string[] {
  const rejected = Object.values(events.rejected).reduce((sum, count) => sum + count, 0);
  return [
    heading("Events"),
    line("published", whole(events.published)),
    line("accepted", whole(events.accepted)),
    line("rejected", `${whole(rejected)}${rejected === 0 ? "" : ` (${counts(events.rejected)})`}`),
    line("duplicates", whole(events.duplicates)),
  ];
}

function predictionLines({ predictions, labels }: Report): string[] {
  return [
    heading("Predictions"),
    line("answered", `${whole(predictions.answered)}; made by ${counts(predictions.madeBy)}`),
    ...Object.entries(predictions.fallbackReasons).map(([reason, count]) => line("", `${whole(count)} × ${reason}`)),
    line("latency", `p50 ${predictions.p50Ms.toFixed(1)} ms, p99 ${predictions.p99Ms.toFixed(1)} ms`),
    line(
      "features",
      `${whole(predictions.answered - predictions.withInexactFeatures)} exactly those of history, ${whole(predictions.withInexactFeatures)} not certain to be`,
    ),
    line(
      "truth",
      `${whole(labels.outcomes)} joined (${percent(labels.coverage)}), median delay ${whole(labels.medianDelayMinutes)} min; ${whole(labels.open)} open, ${whole(labels.neverLabelled)} never came`,
    ),
  ];
}

const metricCells = ({ auc, logLoss, calibrationError }: BinaryMetrics): string =>
  `${auc.toFixed(4).padStart(8)}${logLoss.toFixed(4).padStart(10)}${calibrationError.toFixed(4).padStart(19)}`;

function qualityLines({ quality }: Report): string[] {
  if (quality === undefined) return [heading("Quality"), "  no prediction has its truth yet"];
  const { served, frozen, baseRate, months } = quality;
  const row = (name: string, metrics: BinaryMetrics): string => `  ${name.padEnd(30)}${metricCells(metrics)}`;
  return [
    heading(`Quality, on the same ${whole(served.rows)} flights (${percent(served.baseRate)} late)`),
    `  ${"".padEnd(30)}     AUC  log loss  calibration error`,
    row("served", served),
    row("first model, never retrained", frozen),
    row("base rate", baseRate),
    ...(months.length < 2
      ? []
      : months.flatMap(({ month, served: ours, frozen: theirs }) => [
          row(`${month}: served`, ours),
          row(`${month}: first model`, theirs),
        ])),
  ];
}

function modelLines({ models, decisions }: Report): string[] {
  const metric = (metrics: Readonly<Record<string, number>>, name: string): string =>
    (metrics[name] ?? Number.NaN).toFixed(4);
  return [
    heading("Models"),
    ...models.flatMap(({ version, algorithm, state, asOf, metrics, verdict }) => [
      `  ${version}  ${algorithm}, as of ${asOf}: ${state}; holdout AUC ${metric(metrics, "auc")}, log loss ${metric(metrics, "log_loss")}`,
      ...verdict.map((sentence) => `      ${sentence}`),
    ]),
    ...decisions.map(({ at, trigger, reason }) => `  retraining asked for at ${at} (${trigger}): ${reason}`),
  ];
}

function alertLines({ alerts }: Report): string[] {
  if (alerts.length === 0) return [heading("Alerts"), "  none"];
  return [
    heading("Alerts"),
    ...alerts.map(({ monitor, severity, state, openedAt, changedAt, title }) => {
      const end = state === "resolved" ? `resolved ${changedAt}` : "still open";
      return `  ${openedAt}  ${severity} ${monitor}, ${end}: ${title}`;
    }),
  ];
}

function speedLines({ phases }: Report): string[] {
  const rate = (count: number, seconds: number, what: string): string =>
    count === 0 ? "" : `, ${whole(count / seconds)} ${what}/s`;
  return [
    heading("Time"),
    ...phases.map(({ name, seconds, events, predictions }) =>
      line(
        name,
        `${seconds.toFixed(1)} s${rate(events, seconds, "events")}${rate(predictions, seconds, "predictions")}`,
      ),
    ),
  ];
}

function invariantLines({ invariants }: Report): string[] {
  return [
    heading("Invariants, checked against the stores"),
    ...invariants.flatMap(({ promise, holds, evidence }) => [`  ${holds ? "✔" : "✖"} ${promise}`, `      ${evidence}`]),
    "",
  ];
}
