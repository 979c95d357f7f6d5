import { parentPort, workerData } from "node:worker_threads";
import { toBinary } from "@bufbuild/protobuf";
import { getApp } from "@millrace/app";
import { connectBus, decode } from "@millrace/bus";
import {
  BuildDatasetRequestSchema,
  type DatasetManifest,
  DatasetManifestSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectByteStream } from "@millrace/rpc";
import { createLogger, describeError, MillraceError } from "@millrace/runtime";
import { buildDataset } from "./datasetBuild.ts";
import type { DatasetThreadInput, DatasetThreadMessage } from "./datasetMessages.ts";
import { DatasetStore } from "./datasetStore.ts";

/** The thread in which one dataset is built, so that the live features do not wait for it. */
const say = (message: DatasetThreadMessage): void => parentPort?.postMessage(message);

async function build({
  request: bytes,
  bus: busConfig,
  eventLogAddress,
}: DatasetThreadInput): Promise<DatasetManifest> {
  await using bus = await connectBus(busConfig, "feature-dataset", createLogger("feature"));
  using readEvents = connectByteStream(EventLogService.method.readEvents, eventLogAddress);
  const request = decode(BuildDatasetRequestSchema, bytes);
  const { app, version } = await getApp(bus, request.app);
  if (app === undefined) throw new MillraceError("not_found", `There is no app ${request.app}`);
  return await buildDataset({
    app,
    appVersion: version,
    request,
    readEvents,
    store: await DatasetStore.open(bus),
    onProgress: (eventsRead, rowsWritten) => say({ kind: "progress", eventsRead, rowsWritten }),
  });
}

try {
  const manifest = await build(workerData as DatasetThreadInput);
  say({ kind: "manifest", manifest: toBinary(DatasetManifestSchema, manifest) });
} catch (error) {
  const known = error instanceof MillraceError ? error : undefined;
  say({
    kind: "failure",
    code: known?.code ?? "internal",
    message: describeError(error),
    violations: known?.violations ?? [],
  });
}
