import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

/**
 * Reads a time such as `2001-02-03T04:05:06.789+01:00` (RFC 3339 §5.6), to the nanosecond; further digits are cut off.
 *
 * @returns undefined for anything else, and for days that the month does not have
 */
export function parseTime(text: string): Timestamp | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1) return undefined;
  const offset = (match[8] === "-" ? -60 : 60) * (Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0));
  const seconds = date.getTime() / 1_000 + hour * 3_600 + minute * 60 + second - offset;
  const nanos = Number((match[7] ?? "").slice(0, 9).padEnd(9, "0"));
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos });
}
