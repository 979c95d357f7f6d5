import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** So much of a content hash names a dataset. */
export const shortHash = (hash: string): string => hash.slice(0, 12);

/** `2001-02-03 04:05`, in UTC; `-` for none. */
export const moment = (timestamp: Timestamp | undefined): string =>
  timestamp === undefined ? "-" : timestampDate(timestamp).toISOString().slice(0, 16).replace("T", " ");

export const whole = (value: bigint | number): string => value.toLocaleString("en-US");

/** Four digits are enough for people; `-` for none. */
export function decimal(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "-";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return whole(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export function percent(part: bigint | number, all: bigint | number): string {
  if (Number(all) === 0) return "-";
  const share = (Number(part) / Number(all)) * 100;
  return `${share === 0 || share >= 1 ? share.toFixed(1) : share.toPrecision(2)} %`;
}

export function size(bytes: bigint): string {
  const mebibytes = Number(bytes) / 2 ** 20;
  return mebibytes >= 1 ? `${mebibytes.toFixed(1)} MiB` : `${Math.ceil(Number(bytes) / 1_024)} KiB`;
}

/** `90 s`, `12 min`, `7.5 h`, `3.0 d`. */
export function span(seconds: number): string {
  const length = Math.abs(seconds);
  if (length < 120) return `${seconds.toFixed(0)} s`;
  if (length < 7_200) return `${(seconds / 60).toFixed(0)} min`;
  return length < 172_800 ? `${(seconds / 3_600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} d`;
}
