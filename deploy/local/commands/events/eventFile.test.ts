import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { TemporaryFolder } from "@millrace/test-harness";
import { type EventFile, readEventFile } from "./eventFile.ts";

async function read(text: string, limit = 100): Promise<EventFile> {
  await using folder = new TemporaryFolder();
  const file = folder.join("events");
  await writeFile(file, text);
  return await readEventFile(file, limit);
}

const jsonOf = ({ json }: EventFile): unknown[] => json.map((bytes) => JSON.parse(String(bytes)) as unknown);

const EVENTS = [{ a: 1 }, { a: "ü\n", b: [1, { c: null }] }];

for (const [name, text] of Object.entries({
  "one a line": EVENTS.map((event) => `${JSON.stringify(event)}\n`).join(""),
  "one a line, with empty lines, CR LF and a byte order mark": `\ufeff\r\n${EVENTS.map((event) => JSON.stringify(event)).join("\r\n\r\n")}`,
  "an array": JSON.stringify(EVENTS),
  "an array over several lines": `\n${JSON.stringify(EVENTS, undefined, 2)}\n`,
})) {
  test(`events are read from a file: ${name}`, async () => {
    const file = await read(text);
    assert.deepEqual(jsonOf(file), EVENTS);
    assert.equal(file.cutBy, undefined);
  });
}

test("a line that is no JSON is left to the service, which tells", async () => {
  assert.deepEqual((await read('{"a":1}\nnothing\n')).json.map(String), ['{"a":1}', "nothing"]);
});

test("no more than a request holds is read, and it is said", async () => {
  const line = `{"a":"${"x".repeat(1 << 20)}"}\n`;
  const large = await read(line.repeat(17));
  assert.deepEqual([large.json.length, large.cutBy], [15, "a sample has at most 16 MiB"]);
  const many = await read('{"a":1}\n'.repeat(11), 10);
  assert.deepEqual([many.json.length, many.cutBy], [10, "--limit is 10"]);
  assert.equal((await read('{"a":1}\n'.repeat(10), 10)).cutBy, undefined);
});

test("a file without events, and one that is not there, are refused by name", async () => {
  await assert.rejects(read("\n \n"), {
    code: "invalid_argument",
    message: /has no events: it has to hold JSON objects/,
  });
  await assert.rejects(read("[]"), { code: "invalid_argument", message: /has no events/ });
  await assert.rejects(read('[{"a":1}'), { code: "invalid_argument", message: /begins as a JSON array and is none/ });
  await assert.rejects(readEventFile("/nowhere/events", 1), {
    code: "not_found",
    message: /\/nowhere\/events cannot be read/,
  });
});
