import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { exportDataset } from "./datasetExport.ts";
import { listDatasets } from "./datasetList.ts";
import { DatasetStore } from "./datasetStore.ts";

const manifest = (start: string, app = "flights", rows = 1): DatasetManifest =>
  create(DatasetManifestSchema, { contentHash: start.padEnd(64, "0"), app, rows: BigInt(rows) });

const page = { app: "", pageSize: 0, pageToken: "" };

const failsWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === code && message.test(error.message);

test("datasets are listed newest first, by app, in pages; and found by the beginning of their hash", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  const store = await DatasetStore.open(bus);
  assert.deepEqual((await listDatasets(store, page)).datasets, []);
  await assert.rejects(store.find("ab"), failsWith("not_found", /dataset list/));

  const names = ["aa1", "ab2", "ab3", "c4", "d5"];
  for (const [index, name] of names.entries())
    await store.putManifest(manifest(name, index === 3 ? "other" : "flights", index));
  const hashes = async (request: Partial<typeof page>): Promise<string[]> =>
    (await listDatasets(store, { ...page, ...request })).datasets.map(({ contentHash }) =>
      contentHash.replace(/0+$/, ""),
    );
  assert.deepEqual(await hashes({}), names.toReversed());
  assert.deepEqual(await hashes({ app: "flights" }), ["d5", "ab3", "ab2", "aa1"]);
  assert.deepEqual(await hashes({ app: "nobody" }), []);

  const first = await listDatasets(store, { ...page, app: "flights", pageSize: 3 });
  assert.deepEqual(
    first.datasets.map(({ rows }) => rows),
    [4n, 2n, 1n],
  );
  await store.putManifest(manifest("e6"));
  assert.deepEqual(await hashes({ app: "flights", pageToken: first.nextPageToken }), ["aa1"]);
  assert.equal((await listDatasets(store, page)).nextPageToken, "");
  await assert.rejects(
    listDatasets(store, { ...page, pageToken: "2" }),
    failsWith("invalid_argument", /page_token "2"/),
  );

  assert.equal((await store.find("ab3")).manifest.rows, 2n);
  assert.equal((await store.find("C4")).manifest.app, "other");
  await assert.rejects(
    store.find("ab"),
    failsWith("invalid_argument", /2 datasets begin with ab \(ab30{5}, ab20{5}\)/),
  );
  await assert.rejects(store.find("my data"), failsWith("invalid_argument", /"my data" is not the content hash/));
});

test("building a dataset again leaves it where it is in the list; another app version of it is stored", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  const store = await DatasetStore.open(bus);
  await store.putManifest(manifest("a1"));
  const { storedAtMs } = await store.find("a1");
  await waitFor(() => Date.now() > storedAtMs, { deadlineMs: 1_000, what: "the next millisecond" });
  await store.putManifest(manifest("a1"));
  assert.equal((await store.find("a1")).storedAtMs, storedAtMs);
  const newer = manifest("a1");
  newer.appVersion = 2;
  await store.putManifest(newer);
  const found = await store.find("a1");
  assert.equal(found.manifest.appVersion, 2);
  assert.ok(found.storedAtMs > storedAtMs);
});

test("an export is the manifest and the files in their order; a file that is not what its name says is refused", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  const store = await DatasetStore.open(bus);
  const files = [new Uint8Array(2_500_000).fill(1), new Uint8Array(10).fill(2)];
  const stored = await Promise.all(files.map((bytes) => store.putFile(bytes)));
  const dataset = manifest("a1");
  dataset.objects = stored.map(({ name }) => name);
  await store.putManifest(dataset);
  const read = async (): Promise<Uint8Array[]> => {
    const chunks: Uint8Array[] = [];
    for await (const { part } of exportDataset(store, "a1")) if (part.case === "chunk") chunks.push(part.value);
    return chunks;
  };
  assert.equal(Buffer.compare(Buffer.concat(await read()), Buffer.concat(files)), 0);
  const objects = await bus.objects("datasets");
  await objects.putBlob({ name: dataset.objects[1] as string }, new Uint8Array(10).fill(3));
  await assert.rejects(read(), failsWith("data_loss", /does not hold what its name says/));
  await objects.delete(dataset.objects[1] as string);
  await assert.rejects(read(), failsWith("data_loss", /is missing/));
});
