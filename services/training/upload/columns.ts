import { parseModel, readSignature } from "@millrace/onnx";
import { MillraceError } from "@millrace/runtime";

/** Under this key a model file may name its columns: a JSON array of feature names. Millrace's own files do. */
const COLUMNS_KEY = "millrace.features";

/**
 * Which features an uploaded model's columns are: those that its header names, else those that the file names, else all of the app's.
 *
 * @param appFeatures by name, as datasets have them
 * @throws `invalid_argument` for bytes that are no model, one with another number of columns, or names that the app does not have
 */
export function resolveColumns(onnx: Uint8Array, named: readonly string[], appFeatures: readonly string[]): string[] {
  const inFile = named.length > 0 ? [] : columnsInFile(onnx);
  const columns = [named, inFile, appFeatures].find((list) => list.length > 0) ?? [];
  const unknown = columns.filter((name) => !appFeatures.includes(name));
  if (unknown.length > 0) {
    throw misfit(`the app has no feature ${unknown.join(", ")}; it has ${appFeatures.join(", ")}`);
  }
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (twice !== undefined) throw misfit(`the feature ${twice} is named twice`);
  const [input] = readSignature(onnx).inputs;
  const width = input?.shape[1] ?? -1;
  if (width !== -1 && width !== columns.length) {
    const whose = named.length > 0 ? "named" : inFile.length > 0 ? "named in the file" : "in the app";
    throw misfit(
      `the model takes ${width} columns, and ${columns.length} features are ${whose} (${columns.join(", ")}); name the feature of each column, in the model's order`,
    );
  }
  return [...columns];
}

function columnsInFile(onnx: Uint8Array): string[] {
  const text = parseModel(onnx).metadataProps.find(({ key }) => key === COLUMNS_KEY)?.value;
  if (text === undefined) return [];
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  } catch {
    // Said below, with what was expected.
  }
  throw misfit(
    `the file's metadata "${COLUMNS_KEY}" is no JSON array of feature names; leave it out, or name the columns`,
  );
}

function misfit(description: string): MillraceError {
  const violations = [{ field: "columns", reason: "wrong_columns", description }];
  return new MillraceError("invalid_argument", `columns: ${description}`, { violations });
}
