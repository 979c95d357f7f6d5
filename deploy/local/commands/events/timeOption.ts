import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "@millrace/runtime";

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** ISO 8601 as people write it: a day, or a day and a time; without a zone it is UTC, as all times that are shown. */
const MOMENT = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/i;
/** The last that a Timestamp can say. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** A time such as `2001-02-03T04:00:00Z`, `2001-02-03 04:00` or `2001-02-03`. @throws `invalid_argument` for anything else. */
export function readMoment(option: string, given: string): Timestamp {
  const ms = momentMs(given);
  if (isTime(ms)) return timestampFromMs(ms);
  throw refusal(option, "a time such as 2001-02-03T04:00:00Z", given);
}

/** The same, or how long before `nowMs`: `90s`, `30m`, `12h`, `7d`. @throws `invalid_argument` for anything else. */
export function readMomentOrAge(option: string, given: string, nowMs: number): Timestamp {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(given) ?? [];
  const ms = count === undefined ? momentMs(given) : nowMs - Number(count) * (UNIT_MS[unit] as number);
  if (isTime(ms)) return timestampFromMs(ms);
  throw refusal(option, "a time such as 2001-02-03T04:00:00Z, or how long ago, such as 12h,", given);
}

/** NaN when it is none: a Date alone would take "12" for a month. */
function momentMs(given: string): number {
  const [, day, time = "00:00", zone = "Z"] = MOMENT.exec(given) ?? [];
  const ms = day === undefined ? Number.NaN : Date.parse(`${day}T${time}${zone.toUpperCase()}`);
  // A Date takes February 30 for March 2.
  return day === undefined || new Date(`${day}T00:00Z`).getUTCDate() !== Number(day.slice(-2)) ? Number.NaN : ms;
}

const isTime = (ms: number): boolean => ms >= 0 && ms <= LAST_MS;

const refusal = (option: string, expected: string, given: string): MillraceError =>
  new MillraceError("invalid_argument", `--${option} must be ${expected} from 1970 on, not "${given}"`);
