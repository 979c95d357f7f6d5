import type { Progress } from "./progress.ts";

const REDRAW_MS = 200;
const PLAIN_LINE_MS = 5_000;
const BAR_WIDTH = 30;

/** Shows the progress: a few lines that are drawn anew on a terminal, one line every few seconds elsewhere. */
export class Display implements Disposable {
  readonly #progress: Progress;
  readonly #output: NodeJS.WriteStream;
  readonly #timer: NodeJS.Timeout;
  readonly #rates = new Rates();
  #drawnLines = 0;
  #notesShown = 0;

  constructor(progress: Progress, output: NodeJS.WriteStream = process.stderr) {
    this.#progress = progress;
    this.#output = output;
    const show = output.isTTY ? () => this.#redraw() : () => this.#writeLine();
    this.#timer = setInterval(show, output.isTTY ? REDRAW_MS : PLAIN_LINE_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#output.isTTY) this.#redraw();
    else this.#writeNotes();
  }

  #redraw(): void {
    this.#erase();
    this.#writeNotes();
    const lines = this.#lines();
    const width = (this.#output.columns || 100) - 1;
    this.#output.write(lines.map((line) => `${line.slice(0, width)}\n`).join(""));
    this.#drawnLines = lines.length;
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#output.write(`\u001b[${this.#drawnLines}A\u001b[J`);
    this.#drawnLines = 0;
  }

  #writeNotes(): void {
    const { notes } = this.#progress;
    for (; this.#notesShown < notes.length; this.#notesShown += 1)
      this.#output.write(`millrace: ${notes[this.#notesShown]}\n`);
  }

  #writeLine(): void {
    this.#writeNotes();
    const [stage, ...rest] = this.#lines();
    this.#output.write(`millrace: ${[stage, ...rest].map((line) => line?.trim()).join(" | ")}\n`);
  }

  #lines(): string[] {
    const { stage, share, eventTimeMs, published, accepted, rejected, predicted, madeBy, outcomes } = this.#progress;
    const { featuresMs, modelVersion, training, openAlerts } = this.#progress;
    const rates = this.#rates.measure({ published, accepted, predicted, outcomes });
    const bar = share === undefined ? "" : ` ${progressBar(share)} ${(100 * share).toFixed(0)} %`;
    const fallbacks = predicted - (madeBy["CHAMPION"] ?? 0) - (madeBy["CANARY"] ?? 0);
    const job = training === "" ? "" : `; in training, asked for by ${training}`;
    return [
      `${stage}${bar}${clock(eventTimeMs)}`,
      `  events       ${whole(published)} published, ${whole(rates.published)}/s; ${whole(accepted)} accepted, ${whole(rates.accepted)}/s; ${whole(rejected)} rejected`,
      `  features     up to${clock(featuresMs) || " nothing yet"}`,
      `  predictions  ${whole(predicted)}, ${whole(rates.predicted)}/s, ${whole(fallbacks)} by a fallback`,
      `  truth        ${whole(outcomes)} joined, ${whole(rates.outcomes)}/s`,
      `  model        ${modelVersion || "none yet"}${job}; ${openAlerts} alert(s) open`,
    ];
  }
}

const clock = (timeMs: number): string =>
  Number.isFinite(timeMs) ? `  ${new Date(timeMs).toISOString().slice(0, 16).replace("T", " ")}` : "";

function progressBar(share: number): string {
  const filled = Math.round(Math.min(Math.max(share, 0), 1) * BAR_WIDTH);
  return `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}`;
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

type Counts = { published: number; accepted: number; predicted: number; outcomes: number };

/** Rates per second over the last few seconds. */
class Rates {
  readonly #samples: { atMs: number; counts: Counts }[] = [];

  measure(counts: Counts): Counts {
    const atMs = performance.now();
    this.#samples.push({ atMs, counts });
    while (this.#samples.length > 2 && atMs - (this.#samples[0]?.atMs ?? atMs) > PLAIN_LINE_MS + 1_000)
      this.#samples.shift();
    const oldest = this.#samples[0] as { atMs: number; counts: Counts };
    const seconds = (atMs - oldest.atMs) / 1_000;
    const rate = (name: keyof Counts): number => (seconds === 0 ? 0 : (counts[name] - oldest.counts[name]) / seconds);
    return {
      published: rate("published"),
      accepted: rate("accepted"),
      predicted: rate("predicted"),
      outcomes: rate("outcomes"),
    };
  }
}
