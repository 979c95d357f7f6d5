import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import {
  DatasetService,
  DescribeDatasetResponseSchema,
  ReportDatasetResponseSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { type Implementation, type ImplementedService, implement } from "@millrace/rpc";
import { diffDatasets } from "./datasetDiff.ts";
import { exportDataset } from "./datasetExport.ts";
import { listDatasets } from "./datasetList.ts";
import { reportOn } from "./datasetReport.ts";
import { DatasetStore } from "./datasetStore.ts";
import { compareWithServed } from "./liveComparison.ts";
import { readServed } from "./servedFeatures.ts";

/** `millrace.feature.v1.DatasetService`. */
export function datasetService(
  bus: Bus,
  buildDataset: Implementation<typeof DatasetService>["buildDataset"],
): ImplementedService {
  const store = (): Promise<DatasetStore> => DatasetStore.open(bus);
  return implement(DatasetService, {
    ...(buildDataset === undefined ? {} : { buildDataset }),
    listDatasets: async (request) => listDatasets(await store(), request),
    async describeDataset({ dataset }) {
      const { manifest, storedAtMs } = await (await store()).find(dataset);
      return create(DescribeDatasetResponseSchema, { manifest, storedAt: timestampFromMs(storedAtMs) });
    },
    async diffDatasets({ left, right }) {
      const datasets = await store();
      return diffDatasets((await datasets.find(left)).manifest, (await datasets.find(right)).manifest);
    },
    async *exportDataset({ dataset }) {
      yield* exportDataset(await store(), dataset);
    },
    async reportDataset({ dataset, withoutLive }) {
      const { manifest } = await (await store()).find(dataset);
      const live = withoutLive ? undefined : compareWithServed(manifest, await readServed(bus, manifest));
      return create(ReportDatasetResponseSchema, { manifest, report: reportOn(manifest, live) });
    },
  });
}
