import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { MillraceError } from "@millrace/runtime";
import { TemporaryFolder } from "@millrace/test-harness";
import { DatasetFolder } from "./datasetFolder.ts";
import { manifestForTests } from "./reportForTests.ts";

const FILES = [Buffer.from("the first file's bytes"), Buffer.from("and the second's")];
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MANIFEST = manifestForTests({
  files: FILES.map((bytes) => ({
    name: `${sha256(bytes)}.parquet`,
    sha256: sha256(bytes),
    bytes: BigInt(bytes.length),
  })),
});

/** Writes chunks to a folder as an export does. */
async function write(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  await using folder = await DatasetFolder.open(path);
  folder.begin(MANIFEST);
  for (const chunk of chunks) await folder.write(chunk);
  await folder.finish();
}

const failsWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === code && message.test(error.message);

test("files come in pieces, and are there with their hashes and the manifest", async () => {
  await using temporary = new TemporaryFolder();
  const path = temporary.join("new/folder");
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = FILES;
  await write(path, [first.subarray(0, 5), first.subarray(5), second]);
  assert.deepEqual(readdirSync(path).sort(), [
    "SHA256SUMS",
    "manifest.json",
    "part-00000.parquet",
    "part-00001.parquet",
  ]);
  const sums = readFileSync(`${path}/SHA256SUMS`, "utf8");
  assert.equal(sums, `${sha256(first)}  part-00000.parquet\n${sha256(second)}  part-00001.parquet\n`);
  assert.deepEqual(
    [0, 1].map((index) => readFileSync(`${path}/part-0000${index}.parquet`)),
    FILES,
  );
});

test("what does not arrive as the manifest says is taken away again, and it says so", async () => {
  await using temporary = new TemporaryFolder();
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = FILES;
  const other = Buffer.from(first.toString().toUpperCase());
  for (const [chunks, message] of [
    [[other], /part-00000\.parquet is not [0-9a-f]{64}\.parquet/],
    [[first], /1 of 2 files came/],
    [[first, second.subarray(0, 3)], /2 of 2 files came/],
    [[first, second, second], /more bytes came/],
  ] as const) {
    const made = temporary.join("made");
    await assert.rejects(write(made, chunks), failsWith("data_loss", message));
    assert.ok(!existsSync(made));
    const given = temporary.join("given");
    mkdirSync(given, { recursive: true });
    await assert.rejects(write(given, chunks), failsWith("data_loss", message));
    assert.deepEqual(readdirSync(given), []);
  }
});

test("a folder that holds anything, or cannot be one, is refused and left alone", async () => {
  await using temporary = new TemporaryFolder();
  const full = temporary.join("full");
  mkdirSync(full);
  writeFileSync(`${full}/.hidden`, "mine");
  await assert.rejects(DatasetFolder.open(full), failsWith("already_exists", /full is not empty; name another one/));
  assert.deepEqual(readdirSync(full), [".hidden"]);
  await assert.rejects(DatasetFolder.open(`${full}/.hidden`), failsWith("invalid_argument", /cannot be written/));
});
