import { create } from "@bufbuild/protobuf";
import type { EventType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type DataQuality,
  type FieldQuality,
  type QualityFinding,
  QualityFindingSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";

/** Fewer events than this say nothing about a value that never changes or is mostly missing. */
const MIN_EVENTS = 100;

/** A field that is missing more often than this is hardly of use. */
const MOSTLY_MISSING = 0.5;

/** Of the events, so many may break a field's rules before it is worth a word. */
const VIOLATING_SHARE = 0.01;

/** What looks odd about the events of a type, and what to do about it. */
export function findOddities(total: DataQuality, schema: EventType): QualityFinding[] {
  const findings = [allRejected(total), unknownFields(total)];
  for (const field of total.fields) {
    findings.push(
      absent(total, field, schema.fields[field.name]?.required === true),
      violating(total, field),
      constant(total, field),
    );
  }
  return findings.filter((finding) => finding !== undefined);
}

function finding({ type }: DataQuality, field: string, kind: string, title: string, advice: string): QualityFinding {
  return create(QualityFindingSchema, { type, field, kind, title, advice });
}

function allRejected(total: DataQuality): QualityFinding | undefined {
  if (total.accepted > 0n || total.rejected === 0n) return undefined;
  const title = `none of ${events(total.rejected)} of ${total.type} was accepted`;
  return finding(total, "", "all_rejected", title, `see why: ${rejectedCommand(total)}`);
}

function unknownFields(total: DataQuality): QualityFinding | undefined {
  const { unknownValues, type } = total;
  if (unknownValues === 0n) return undefined;
  const title = `${type} came with ${count(unknownValues)} value${unknownValues === 1n ? "" : "s"} under names that its schema does not know`;
  const advice = "add the fields to the app file, or say by ingestion.unknown_fields that they are dropped or rejected";
  return finding(total, "", "unknown_fields", title, advice);
}

function absent(total: DataQuality, field: FieldQuality, required: boolean): QualityFinding | undefined {
  const { name, missing } = field;
  if (missing === 0n) return undefined;
  const where = `${total.type}.${name}`;
  if (missing === field.events) {
    const others = total.unknownValues > 0n ? "is it sent under another name? " : "";
    const change = required ? "make its producer send it" : "make its producer send it, or take it out of the app file";
    return finding(
      total,
      name,
      "never_present",
      `${where} is in none of ${events(field.events)}`,
      `${others}${change}`,
    );
  }
  const share = Number(missing) / Number(field.events);
  if (required || share < MOSTLY_MISSING || field.events < MIN_EVENTS) return undefined;
  const title = `${where} is missing in ${percent(share)} of ${events(field.events)}`;
  return finding(total, name, "mostly_missing", title, "expect features on it to be missing too; ask its producer why");
}

function violating(total: DataQuality, { name, events: seen, violations }: FieldQuality): QualityFinding | undefined {
  const [reason, broken] = Object.entries(violations).reduce(
    (worst, next) => (next[1] > worst[1] ? next : worst),
    ["", 0n],
  );
  const share = Number(broken) / Number(seen);
  if (broken === 0n || share < VIOLATING_SHARE) return undefined;
  const title = `${total.type}.${name} breaks its rules in ${percent(share)} of ${events(seen)} (${reason})`;
  const advice = `see what came: ${rejectedCommand(total)} --reason ${reason}`;
  return finding(total, name, "violations", title, advice);
}

function constant(total: DataQuality, field: FieldQuality): QualityFinding | undefined {
  const { name, values, distinct } = field;
  if (values < MIN_EVENTS || distinct !== 1) return undefined;
  const title = `${total.type}.${name} has the same value in ${events(values)}`;
  return finding(total, name, "constant", title, "a model learns nothing from it; is the producer sending a default?");
}

const rejectedCommand = ({ app, type }: DataQuality): string =>
  `npm run millrace -- events rejected --app ${app} --type ${type}`;

const count = (number: bigint): string => number.toLocaleString("en-US");
const events = (number: bigint): string => (number === 1n ? "1 event" : `${count(number)} events`);
const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
