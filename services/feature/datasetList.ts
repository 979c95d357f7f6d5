import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type DatasetSummary,
  DatasetSummarySchema,
  type ListDatasetsRequest,
  type ListDatasetsResponse,
  ListDatasetsResponseSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { byAge, type DatasetEntry, type DatasetStore, type StoredDataset } from "./datasetStore.ts";

const DEFAULT_PAGE = 20;
const LARGEST_PAGE = 200;

/** A page of the stored datasets, newest first. @throws `invalid_argument` for a page that was never given */
export async function listDatasets(
  store: DatasetStore,
  { app, pageSize, pageToken }: Pick<ListDatasetsRequest, "app" | "pageSize" | "pageToken">,
): Promise<ListDatasetsResponse> {
  const size = Math.min(LARGEST_PAGE, pageSize === 0 ? DEFAULT_PAGE : pageSize);
  const after = pageToken === "" ? undefined : readToken(pageToken);
  const page: StoredDataset[] = [];
  let last: DatasetEntry | undefined;
  for (const entry of await store.list()) {
    if (after !== undefined && byAge(after, entry) >= 0) continue;
    if (app !== "" && entry.app !== undefined && entry.app !== app) continue;
    if (page.length === size) {
      return create(ListDatasetsResponseSchema, {
        datasets: page.map(summaryOf),
        nextPageToken: last === undefined ? "" : `${last.storedAtMs}/${last.contentHash}`,
      });
    }
    const stored = await store.read(entry);
    if (app !== "" && stored.manifest.app !== app) continue;
    page.push(stored);
    last = entry;
  }
  return create(ListDatasetsResponseSchema, { datasets: page.map(summaryOf) });
}

function readToken(token: string): DatasetEntry {
  const [, storedAt, contentHash] = /^(\d+)\/([0-9a-f]{64})$/.exec(token) ?? [];
  if (storedAt === undefined || contentHash === undefined) {
    throw new MillraceError(
      "invalid_argument",
      `page_token ${JSON.stringify(token)} is not one that a page ended with`,
    );
  }
  return { storedAtMs: Number(storedAt), contentHash, app: undefined };
}

function summaryOf({ manifest, storedAtMs }: StoredDataset): DatasetSummary {
  const { firstRowAt, lastRowAt } = manifest;
  return create(DatasetSummarySchema, {
    contentHash: manifest.contentHash,
    app: manifest.app,
    appVersion: manifest.appVersion,
    storedAt: timestampFromMs(storedAtMs),
    ...(firstRowAt === undefined ? {} : { firstRowAt }),
    ...(lastRowAt === undefined ? {} : { lastRowAt }),
    rows: manifest.rows,
    labelledRows: manifest.labelledRows,
    positiveRows: manifest.labels?.positiveRows ?? 0n,
    bytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0n),
    features: manifest.features.length,
  });
}
