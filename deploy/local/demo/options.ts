import { DATA_FROM_MS, DATA_TO_MS } from "@millrace/flight-delays";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../commandLine.ts";

export const HELP = `Usage: npm start [-- options]

The whole loop on real flights, from one command: starts NATS, PostgreSQL and the six services, loads three weeks of
flights as history, trains the first model, then replays two weeks as live traffic, each departure a Predict call, with
retraining; at the end a report, checked against the stores. It begins with empty stores of its own each time
(.millrace/demo), so nothing of \`npm run up\` is touched.

  --from <date>          first day of history                (default: 2001-01-01, where the data begins)
  --to <date>            end of the live traffic             (default: two weeks after its start; data ends 2001-06-30)
  --history-days <days>  days of history before live traffic (default: 21)
  --full                 all 3,000,000 flights, to the end of June (about half an hour on 2 cores)
  --exit                 stop after the report, with exit status 1 when an invariant does not hold
  --help                 this text

Environment: NATS_URL and DATABASE_URL use servers that exist; OTEL_EXPORTER_OTLP_ENDPOINT sends traces and metrics.
`;

export interface DemoOptions {
  readonly fromMs: number;
  /** Where history ends and live traffic begins. */
  readonly liveFromMs: number;
  readonly toMs: number;
  readonly exit: boolean;
}

const DAY_MS = 86_400_000;
const HISTORY_DAYS = 21;
const LIVE_DAYS = 14;

/** Reads the command line; undefined when only help was asked for. @throws `invalid_argument` that names the option. */
export function readDemoOptions(commandArguments: readonly string[]): DemoOptions | undefined {
  const { values } = readOptions({
    args: [...commandArguments],
    options: {
      from: { type: "string" },
      to: { type: "string" },
      "history-days": { type: "string" },
      full: { type: "boolean", default: false },
      exit: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const fromMs = values.from === undefined ? DATA_FROM_MS : readDate("from", values.from);
  const liveFromMs = fromMs + readDays(values["history-days"]) * DAY_MS;
  const defaultToMs = values.full ? DATA_TO_MS : Math.min(liveFromMs + LIVE_DAYS * DAY_MS, DATA_TO_MS);
  const toMs = values.to === undefined ? defaultToMs : readDate("to", values.to);
  if (fromMs < DATA_FROM_MS || toMs > DATA_TO_MS) {
    throw new MillraceError(
      "invalid_argument",
      "--from and --to must lie between 2001-01-01 and 2001-07-01, where the data is",
    );
  }
  if (toMs <= liveFromMs) {
    const message = `no live traffic is left: it would begin on ${day(liveFromMs)} and end on ${day(toMs)}; choose a later --to or fewer --history-days`;
    throw new MillraceError("invalid_argument", message);
  }
  return { fromMs, liveFromMs, toMs, exit: values.exit };
}

export const day = (timeMs: number): string => new Date(timeMs).toISOString().slice(0, 10);

function readDate(name: string, text: string): number {
  const timeMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(timeMs))
    throw new MillraceError("invalid_argument", `--${name} must be a date such as 2001-01-22, not "${text}"`);
  return timeMs;
}

function readDays(text: string | undefined): number {
  const days = text === undefined ? HISTORY_DAYS : Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= 180) return days;
  throw new MillraceError("invalid_argument", `--history-days must be a whole number from 1 to 180, not "${text}"`);
}
