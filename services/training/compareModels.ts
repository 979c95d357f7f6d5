import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import { datasetOf, modelledApp, splitOf } from "./appRows.ts";
import type { Artefacts } from "./artefacts.ts";
import type { DatasetClient } from "./dataset.ts";
import { judgeChampion, judgementOf } from "./judging.ts";
import { selectRows } from "./matrix.ts";
import { nameOf } from "./promotion.ts";

export interface CompareParts {
  readonly bus: Bus;
  readonly datasets: DatasetClient;
  readonly artefacts: Artefacts;
  readonly maxRows: number;
}

/** Metrics by name; empty where a version could not be asked. */
interface Comparison {
  readonly leftMetrics: { [name: string]: number };
  readonly rightMetrics: { [name: string]: number };
  readonly datasetHash: string;
  /** What should be known about it, one sentence each. */
  readonly remarks: string[];
}

/**
 * Both versions' files on the newest rows of a dataset that is built now.
 *
 * @throws `unavailable` when a neighbour is away
 */
export async function compareOnSameRows(
  { bus, datasets, artefacts, maxRows }: CompareParts,
  left: ModelVersion,
  right: ModelVersion,
  signal: AbortSignal,
): Promise<Comparison> {
  const remarks: string[] = [];
  const app = await modelledApp(bus, left.app);
  try {
    const dataset = await datasetOf(datasets, create(TrainingJobSchema, { app: left.app }), app.model, signal);
    const split = await splitOf(dataset, app, maxRows);
    const rows = selectRows(dataset.rows, split.holdout);
    const firstMs = dataset.rows.occurredAtMs[split.holdout[0] ?? 0] ?? 0;
    const measured: Comparison["leftMetrics"][] = [];
    for (const model of [left, right]) {
      const result = await judgeChampion(model, rows, artefacts, judgementOf(app));
      if (result.kind === "unusable") remarks.push(`${nameOf(model)} could not be run: ${result.reason}`);
      measured.push(result.kind === "measured" ? { ...result.metrics } : {});
      if (model.asOf !== undefined && timestampMs(model.asOf) > firstMs)
        remarks.push(
          `${nameOf(model)} knew data newer than the first of these rows: it may have been trained on some of them.`,
        );
    }
    const [leftMetrics = {}, rightMetrics = {}] = measured;
    return { leftMetrics, rightMetrics, datasetHash: dataset.manifest.contentHash, remarks };
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code === "unavailable") throw error;
    return {
      leftMetrics: {},
      rightMetrics: {},
      datasetHash: "",
      remarks: [`They could not be compared on the same rows: ${describeError(error)}`],
    };
  }
}
