import type { Field } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MAX_FIELD_NAME_LENGTH } from "./eventLimits.ts";
import { type FieldProposal, typeName } from "./fieldProposal.ts";
import type { JoinProposal, SchemaProposal, TypeProposal } from "./schemaInference.ts";
import { printable } from "./violation.ts";

/**
 * A proposal as the `events:` section of an app file, which `parseApp` takes; what is not in the schema are comments.
 *
 * @param about what the proposal rests on: lines at its head
 */
export function schemaYaml({ types, joins, leftOut }: SchemaProposal, about: readonly string[]): string {
  const lines = [...about, ...leftOut.map((text) => `Left out: ${text}`)].map(comment);
  lines.push(types.length === 0 ? "events: {}" : "events:", ...types.flatMap(typeLines));
  const candidates = [...types.flatMap(keyLine), ...joins.map(joinLine)];
  return `${[...lines, ...(candidates.length === 0 ? [] : ["", ...candidates.map(comment)])].join("\n")}\n`;
}

function typeLines({ type, events, fields }: TypeProposal): string[] {
  const inSchema = fields.some(({ field }) => field !== undefined);
  return [
    `  ${keyOf(type)}: ${comment(`${events.toLocaleString("en-US")} events`)}`,
    "    version: 1",
    inSchema ? "    fields:" : "    fields: {}",
    ...fields.map((field) => `      ${fieldLine(field)}`),
  ];
}

function fieldLine({ name, field, evidence }: FieldProposal): string {
  if (field === undefined)
    return comment(`${JSON.stringify(name.slice(0, MAX_FIELD_NAME_LENGTH))} is not in the schema: ${evidence}`);
  return `${keyOf(name)}: { ${rulesOf(field).join(", ")} } ${comment(evidence)}`;
}

/** What YAML would take for something else than a text. */
const keyOf = (name: string): string => (["null", "true", "false"].includes(name) ? JSON.stringify(name) : name);

function rulesOf({ type, required, min, max, allowed, pattern, maxLength }: Field): string[] {
  return [
    `type: ${typeName(type)}`,
    ...(required ? ["required: true"] : []),
    ...(min === undefined ? [] : [`min: ${min}`]),
    ...(max === undefined ? [] : [`max: ${max}`]),
    ...(allowed.length === 0 ? [] : [`allowed: [${allowed.map((text) => JSON.stringify(text)).join(", ")}]`]),
    ...(pattern === "" ? [] : [`pattern: ${JSON.stringify(pattern)}`]),
    ...(maxLength === undefined ? [] : [`max_length: ${maxLength}`]),
  ];
}

function keyLine({ type, keys }: TypeProposal): string[] {
  return keys.length === 0 ? [] : [`Could be keys of entities, by ${type}: ${keys.join(", ")}`];
}

const joinLine = ({ field, types: [left, right], shared }: JoinProposal): string =>
  `Could join ${left} and ${right} (label.join): ${field}, nearly unique in both, ${Math.round(shared * 100)} % shared`;

const comment = (text: string): string => `# ${printable(text)}`;
