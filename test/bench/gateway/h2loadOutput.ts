/** What h2load found out. */
export interface H2loadReport {
  /** Answered with an HTTP status 2xx, which every gRPC answer has, whatever its gRPC status. */
  readonly requests: number;
  /** Not answered at all, or with another HTTP status. */
  readonly failed: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** In DATA frames of the answers, 5 bytes before each message included; a gRPC error has none. */
  readonly answerBytes: number;
}

/** Of single requests, sent to answered; NaN without any. */
export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Reads what h2load 1.43 and later print at the end. @throws when it is something else. */
export function parseH2loadReport(output: string): H2loadReport {
  const find = (pattern: RegExp): readonly string[] => {
    const found = pattern.exec(output);
    if (found === null) throw new Error(`h2load printed nothing like ${pattern}:\n${output.slice(-2_000)}`);
    return found;
  };
  const [, time = "", rate] = find(/^finished in (\S+), (\S+) req\/s/m);
  const [, total, succeeded] = find(/^requests: (\d+) total, .* (\d+) succeeded,/m);
  const [, answerBytes] = find(/^traffic: .*\((\d+)\) data$/m);
  return {
    requests: Number(succeeded),
    failed: Number(total) - Number(succeeded),
    seconds: parseSeconds(time),
    perSecond: Number(rate),
    answerBytes: Number(answerBytes),
  };
}

/** `5.00s`, `320.93ms`, `870us`, and from a minute on `01:02.33`, with hours before. */
function parseSeconds(text: string): number {
  const number = Number.parseFloat(text);
  if (text.includes(":")) return text.split(":").reduce((total, part) => 60 * total + Number.parseFloat(part), 0);
  if (text.endsWith("ms")) return number / 1e3;
  return text.endsWith("us") ? number / 1e6 : number;
}

/** Reads h2load's log file: a line for each request of its start, its HTTP status and its duration in microseconds. */
export function parseH2loadLog(log: string): Latencies {
  const durations = Float64Array.from(log.trimEnd().split("\n"), (line) => Number(line.split("\t")[2])).sort();
  const at = (share: number): number => (durations[Math.floor(share * (durations.length - 1))] ?? Number.NaN) / 1e3;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
