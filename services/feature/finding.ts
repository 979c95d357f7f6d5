import { create } from "@bufbuild/protobuf";
import {
  type Finding,
  type FindingKind,
  FindingLevel,
  FindingSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";

/** One rule's outcome: what is the matter with its numbers, and what to do. */
interface FindingText {
  readonly what: string;
  readonly advice: string;
  readonly column?: string;
}

const finding =
  (level: FindingLevel) =>
  (kind: FindingKind, text: FindingText): Finding =>
    create(FindingSchema, { level, kind, ...text });

/** Worth knowing; no reason to wait. */
export const note = finding(FindingLevel.NOTE);
/** To be looked at before the model is trusted. */
export const warning = finding(FindingLevel.WARNING);
/** A model of these rows would mislead. */
export const stop = finding(FindingLevel.STOP);

/** `12.3 %`, with more digits for what is rare. */
export function percent(share: number): string {
  const value = share * 100;
  return `${value === 0 || value >= 1 ? value.toFixed(1) : value.toPrecision(2)} %`;
}

/** `1 row`, `2,000 rows`. */
export const count = (number: number | bigint, noun: string): string =>
  `${number.toLocaleString("en-US")} ${noun}${Number(number) === 1 ? "" : "s"}`;

/** `90 s`, `12 min`, `7.5 h`, `3.0 d`: for reading, not for computing. */
export function span(seconds: number): string {
  const size = Math.abs(seconds);
  if (size < 120) return `${seconds.toFixed(0)} s`;
  if (size < 7_200) return `${(seconds / 60).toFixed(0)} min`;
  if (size < 172_800) return `${(seconds / 3_600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}
