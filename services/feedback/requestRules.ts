import { MillraceError, type Violation } from "@millrace/runtime";

/** Longest text that a caller may leave on record. */
const MAX_TEXT = 1_000;

/** Throws what is wrong with a request, if anything is. */
export function throwViolations(violations: readonly Violation[]): void {
  if (violations.length === 0) return;
  const text = violations.map(({ description }) => description).join("; ");
  throw new MillraceError("invalid_argument", text, { violations });
}

/**
 * Checks texts of a request, by field.
 *
 * @param required those that must not be empty
 */
export function checkTexts(texts: Record<string, string>, required: Record<string, boolean>): void {
  const violations: Violation[] = [];
  for (const [field, text] of Object.entries(texts)) {
    if (text.length > MAX_TEXT) {
      const description = `${field} must be at most ${MAX_TEXT} characters, not ${text.length}`;
      violations.push({ field, reason: "too_long", description });
    } else if (text.trim() === "" && required[field] === true) {
      violations.push({ field, reason: "missing", description: `${field} is required: it is kept with what is done` });
    }
  }
  throwViolations(violations);
}
