import type { CountEventsResponse } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { alignedTable, type TableColumn } from "../../alignedTable.ts";
import { whole } from "../dataset/wording.ts";

type Counts = Readonly<Record<string, bigint>>;

/** The counts as people read them: all in a line, then those that there are, the most first. */
export function countText(app: string, counts: CountEventsResponse): string {
  const { accepted, late, rejected, duplicates, dropped, droppedByRule, keptByRule, unpublished } = counts;
  const sums = [
    `${whole(sum(accepted))} accepted (${whole(sum(late))} of them late)`,
    `${whole(sum(rejected))} rejected`,
    `${whole(duplicates)} duplicates`,
    `${whole(dropped)} dropped as noise`,
    // Only while the bus is slow, or away.
    ...(unpublished > 0n ? [`${whole(unpublished)} stored and not yet passed on`] : []),
  ];
  const blocks = [
    tableOf(["accepted, by type", "events", "late"], [accepted, late]),
    tableOf(["rejected, by reason", "events"], [rejected]),
    tableOf(["noise, by rule", "dropped", "kept"], [droppedByRule, keptByRule]),
  ];
  return [`${app}: ${sums.join(", ")}`, ...blocks.filter((block) => block !== "")].join("\n\n");
}

/** A row for each name that any of the columns counts; empty when there is none. */
function tableOf([title, ...titles]: readonly [string, ...string[]], columns: readonly Counts[]): string {
  const names = [...new Set(columns.flatMap((column) => Object.keys(column)))];
  if (names.length === 0) return "";
  const rows = names
    .map((name) => ({ name, counts: columns.map((column) => column[name] ?? 0n) }))
    .sort((left, right) => Number(sum(right.counts) - sum(left.counts)) || (left.name < right.name ? -1 : 1));
  const heads: TableColumn[] = [{ title }, ...titles.map((head) => ({ title: head, align: "right" as const }))];
  return alignedTable(
    heads,
    rows.map(({ name, counts }) => [name, ...counts.map(whole)]),
  ).join("\n");
}

const sum = (counts: Counts | readonly bigint[]): bigint =>
  Object.values(counts).reduce((total, count) => total + count, 0n);
