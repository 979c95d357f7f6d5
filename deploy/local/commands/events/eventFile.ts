import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { describeError, MillraceError } from "@millrace/runtime";

/** Events of a file, each as its JSON text. */
export interface EventFile {
  readonly json: readonly Uint8Array[];
  /** Why there are more in the file; undefined when these are all. */
  readonly cutBy: string | undefined;
}

/** What one request to ingestion holds. */
const MAX_BYTES = 16 << 20;

/** A JSON array has to be read whole. */
const MAX_ARRAY_BYTES = 256 << 20;

/**
 * Reads events: JSON objects one a line, or a JSON array of them.
 *
 * @throws `not_found` when the file cannot be read, `invalid_argument` when it has no events
 */
export async function readEventFile(file: string, limit: number): Promise<EventFile> {
  const read = new Collected(limit);
  let arrayText: string[] | undefined;
  let arrayBytes = 0;
  try {
    for await (const given of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      const line = given.replace(/^\ufeff/, "");
      if (arrayText === undefined && line.trim() === "") continue;
      if (arrayText === undefined && read.isEmpty && line.trimStart().startsWith("[")) arrayText = [];
      if (arrayText === undefined) {
        if (!read.add(line)) break;
        continue;
      }
      arrayBytes += line.length;
      if (arrayBytes > MAX_ARRAY_BYTES) break;
      arrayText.push(line);
    }
  } catch (cause) {
    throw new MillraceError("not_found", `${file} cannot be read: ${describeError(cause)}`, { cause });
  }
  if (arrayBytes > MAX_ARRAY_BYTES) {
    throw new MillraceError(
      "invalid_argument",
      `${file} is a JSON array of more than ${MAX_ARRAY_BYTES >> 20} MiB; write one event a line instead`,
    );
  }
  if (arrayText !== undefined) {
    for (const element of parseArray(file, arrayText.join("\n"))) if (!read.add(JSON.stringify(element))) break;
  }
  if (read.isEmpty) {
    throw new MillraceError(
      "invalid_argument",
      `${file} has no events: it has to hold JSON objects, one a line or in an array`,
    );
  }
  return read;
}

function parseArray(file: string, text: string): unknown[] {
  try {
    return JSON.parse(text) as unknown[];
  } catch (cause) {
    throw new MillraceError("invalid_argument", `${file} begins as a JSON array and is none: ${describeError(cause)}`, {
      cause,
    });
  }
}

/** Events up to the limits of a request. */
class Collected implements EventFile {
  readonly json: Uint8Array[] = [];
  cutBy: string | undefined;
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isEmpty(): boolean {
    return this.json.length === 0;
  }

  /** False when there is no room for it. */
  add(text: string): boolean {
    const bytes = Buffer.from(text);
    if (this.json.length === this.#limit) this.cutBy = `--limit is ${this.#limit.toLocaleString("en-US")}`;
    else if (this.#bytes + bytes.length > MAX_BYTES) this.cutBy = `a sample has at most ${MAX_BYTES >> 20} MiB`;
    if (this.cutBy !== undefined) return false;
    this.json.push(bytes);
    this.#bytes += bytes.length;
    return true;
  }
}
