import type { DatasetReport, Finding } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { ColumnStatistics, DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { type HistoryBar, labelHistory } from "./labelHistory.ts";
import { histogram, LEVEL_NAMES } from "./reportText.ts";
import { decimal, moment, percent, shortHash, span, whole } from "./wording.ts";

const HISTORY_BARS = 120;
const COLUMN_BARS = 40;

/** A dataset's report as one HTML page that needs nothing else. */
export function reportPage(manifest: DatasetManifest, report: DatasetReport): string {
  const title = `Dataset ${shortHash(manifest.contentHash)} of ${manifest.app}`;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(title)}</h1>
<p class="verdict level${report.findings[0]?.level ?? 0}">${escapeHtml(report.verdictText)}</p>
${report.findings.map(findingHtml).join("\n")}
<h2>Rows and labels</h2>
${factsHtml(manifest)}
${historyHtml(manifest)}
<h2>Columns</h2>
${columnsHtml(manifest, report)}
<h2>Definitions</h2>
<table>${manifest.features.map(({ name, text }) => `<tr><th>${escapeHtml(name)}</th><td><code>${escapeHtml(text)}</code></td></tr>`).join("")}
<tr><th>label</th><td><code>${escapeHtml(manifest.label?.text ?? "")}</code></td></tr></table>
<p class="small">${escapeHtml(manifest.contentHash)}, app version ${manifest.appVersion}, ${escapeHtml(manifest.createdBy)}</p>
</body>
</html>
`;
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 2rem; } table { border-collapse: collapse; } th { text-align: left; padding-right: 1.5rem; font-weight: 600; vertical-align: top; }
td { padding-right: 1.5rem; vertical-align: top; } .number { text-align: right; }
.verdict { font-size: 1.3rem; padding: .6rem 1rem; background: #e7f4e8; border-left: .4rem solid #2e8b40; }
.level2 { background: #fdf3dc; border-color: #d08b00; } .level3 { background: #fbe4e2; border-color: #c0392b; }
.finding { border-left: .3rem solid #999; padding-left: .8rem; margin: .8rem 0; } .finding p { margin: .1rem 0; }
.finding.level2, .finding.level3 { background: none; } .advice { color: #555; }
svg { display: block; } .columns td { padding-bottom: .6rem; } .small { color: #777; font-size: .85rem; }`;

const findingHtml = ({ level, what, advice }: Finding): string =>
  `<div class="finding level${level}"><p><b>${LEVEL_NAMES[level]}</b> ${escapeHtml(what)}</p><p class="advice">${escapeHtml(advice)}</p></div>`;

function factsHtml({ rows, labelledRows, labels, split, ...manifest }: DatasetManifest): string {
  const facts: [string, string][] = [
    ["rows", `${whole(rows)}, ${moment(manifest.firstRowAt)} to ${moment(manifest.lastRowAt)}`],
    [
      "labelled",
      `${percent(labelledRows, rows)} (${whole(labels?.pendingRows ?? 0n)} may still get one, ${whole(labels?.neverLabelledRows ?? 0n)} never did)`,
    ],
    ["positive", percent(labels?.positiveRows ?? 0n, labelledRows)],
    [
      "holdout",
      split === undefined
        ? "none"
        : `from ${moment(split.holdoutFrom)}: ${whole(split.trainRows)} labelled rows before it, ${whole(split.holdoutRows)} in it`,
    ],
  ];
  return `<table>${facts.map(([name, text]) => `<tr><th>${name}</th><td>${escapeHtml(text)}</td></tr>`).join("")}</table>`;
}

function historyHtml({ labels }: DatasetManifest): string {
  if (labels === undefined) return "";
  const { bars, lengthMs } = labelHistory(labels, HISTORY_BARS);
  if (bars.length < 2) return "";
  const share = (part: (bar: HistoryBar) => number, all: (bar: HistoryBar) => number) =>
    bars.map((bar) => (all(bar) === 0 ? 0 : part(bar) / all(bar)));
  const pictures: [string, number[]][] = [
    ["rows", bars.map((bar) => bar.rows)],
    [
      "share labelled",
      share(
        (bar) => bar.labelled,
        (bar) => bar.rows,
      ),
    ],
    [
      "share positive",
      share(
        (bar) => bar.positive,
        (bar) => bar.labelled,
      ),
    ],
  ];
  const labelOf = (index: number): string =>
    new Date((bars[index] as HistoryBar).fromMs).toISOString().slice(0, 16).replace("T", " ");
  const rows = pictures.map(
    ([name, values]) =>
      `<tr><th>${name}<br><span class="small">at most ${decimal(Math.max(...values))}</span></th><td>${barsSvg(values, 720, 60, labelOf)}</td></tr>`,
  );
  return `<p class="small">One bar for ${span(lengthMs / 1_000)}</p><table>${rows.join("")}</table>`;
}

function columnsHtml(manifest: DatasetManifest, { live }: DatasetReport): string {
  const names = new Set(manifest.features.map(({ name }) => name));
  const rows = manifest.columns
    .filter(({ name }) => names.has(name))
    .map((column) => columnHtml(column, manifest, live?.columns.find(({ name }) => name === column.name)?.psi));
  const head = ["column", "distribution", "missing", "mean", "median", "AUC alone", "PSI live"];
  return `<table class="columns"><tr>${head.map((name) => `<th>${name}</th>`).join("")}</tr>${rows.join("")}</table>`;
}

function columnHtml(
  { name, bins, missing, mean, quantiles, labelSignal }: ColumnStatistics,
  { rows }: DatasetManifest,
  psi: number | undefined,
): string {
  const picture =
    bins === undefined || bins.rows.length === 0 ? "" : barsSvg(histogram(bins, COLUMN_BARS), 280, 48, () => "");
  const ends =
    bins === undefined || bins.rows.length === 0
      ? ""
      : `<span class="small">${decimal(bins.low[0])} to ${decimal(bins.high.at(-1))}</span>`;
  const median = quantiles.find(({ share }) => share === 0.5)?.value;
  const cells = [percent(missing, rows), decimal(mean), decimal(median), decimal(labelSignal?.auc), decimal(psi)];
  return `<tr><th>${escapeHtml(name)}</th><td>${picture}${ends}</td>${cells.map((cell) => `<td class="number">${cell}</td>`).join("")}</tr>`;
}

/** Bars from zero to the largest value. */
function barsSvg(values: readonly number[], width: number, height: number, labelOf: (index: number) => string): string {
  const largest = Math.max(...values) || 1;
  const step = width / values.length;
  const bars = values.map((value, index) => {
    const tall = (value / largest) * height;
    const label = labelOf(index);
    const hint = label === "" ? "" : `<title>${label}: ${decimal(value)}</title>`;
    return `<rect x="${(index * step).toFixed(1)}" y="${(height - tall).toFixed(1)}" width="${(step * 0.9).toFixed(1)}" height="${tall.toFixed(1)}">${hint}</rect>`;
  });
  return `<svg width="${width}" height="${height}" fill="#4a7ab5" role="img">${bars.join("")}</svg>`;
}

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPES[character] as string);
