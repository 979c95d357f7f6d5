import type { Violation } from "@millrace/runtime";

/** Longest name in a violation's path. */
const MAX_PATH_LENGTH = 200;

export const violation = (field: string, reason: string, description: string): Violation => ({
  field: printable(field).slice(0, MAX_PATH_LENGTH),
  reason,
  description: printable(description),
});

/** A value as a message shows it. */
export function show(value: unknown): string {
  if (typeof value === "object" && value !== null && "seconds" in value) {
    return timeText(Number(value.seconds));
  }
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** A time in ISO 8601, or in seconds where that cannot say it. */
function timeText(seconds: number): string {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? `${seconds} s after 1970` : date.toISOString();
}

const CONTROL = /\p{Cc}/u;
const CONTROLS = new RegExp(CONTROL, "gu");

/** Whether a text is without control characters and halves of characters, which a header, JSON or the database cannot hold. */
export const isPrintable = (text: string): boolean => !CONTROL.test(text) && text.isWellFormed();

/** The text with replacement characters for these. */
export const printable = (text: string): string =>
  isPrintable(text) ? text : text.toWellFormed().replace(CONTROLS, "\ufffd");
