import { MillraceError } from "@millrace/runtime";

/** A field that a call cannot do without. @throws `invalid_argument` naming it */
export function given(field: string, value: string): string {
  if (value !== "") return value;
  throw invalid(field, "missing", `${field} is empty; name it`);
}

export function invalid(field: string, reason: string, description: string): MillraceError {
  return new MillraceError("invalid_argument", description, { violations: [{ field, reason, description }] });
}
