import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type BinaryMetrics, binaryMetrics } from "@millrace/metrics";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc } from "@millrace/rpc";

/** How good the probabilities were that callers got, and what others would have said about the very same flights. */
export interface Quality {
  readonly served: BinaryMetrics;
  /** The first model's base rate as the answer to everything. */
  readonly baseRate: BinaryMetrics;
  /** The first model, never retrained. */
  readonly frozen: BinaryMetrics;
  readonly months: readonly {
    readonly month: string;
    readonly served: BinaryMetrics;
    readonly frozen: BinaryMetrics;
  }[];
}

/** Rows scored by one call; within the registry's limit. */
const SCORE_ROWS = 10_000;

/** Judges every labelled prediction. @returns undefined when there is none */
export async function judge(
  app: string,
  addresses: { readonly feedback: string; readonly training: string },
  first: ModelVersion,
): Promise<Quality | undefined> {
  const rows = await readOutcomes(app, addresses.feedback);
  if (rows.labels.length === 0) return undefined;
  const frozen = await score(app, addresses.training, first, rows.features);
  const labels = Float64Array.from(rows.labels);
  const served = Float64Array.from(rows.probabilities);
  const months = [...new Set(rows.months)].map((month) => {
    const chosen = rows.months.map((_, row) => row).filter((row) => rows.months[row] === month);
    const pick = (column: Float64Array): Float64Array => Float64Array.from(chosen, (row) => column[row] as number);
    return {
      month,
      served: binaryMetrics(pick(labels), pick(served)),
      frozen: binaryMetrics(pick(labels), pick(frozen)),
    };
  });
  return {
    served: binaryMetrics(labels, served),
    baseRate: binaryMetrics(labels, new Float64Array(labels.length).fill(first.baseRate)),
    frozen: binaryMetrics(labels, frozen),
    months,
  };
}

async function readOutcomes(app: string, address: string) {
  using feedback = connectRpc(FeedbackService, address);
  const labels: number[] = [];
  const probabilities: number[] = [];
  const months: string[] = [];
  const features: number[][] = [];
  for await (const { rows } of feedback.readOutcomes({ app })) {
    for (const row of rows) {
      labels.push(row.label);
      probabilities.push(row.probability);
      features.push(row.features);
      months.push(
        row.predictedAt === undefined ? "" : new Date(timestampMs(row.predictedAt)).toISOString().slice(0, 7),
      );
    }
  }
  return { labels, probabilities, months, features };
}

async function score(
  app: string,
  address: string,
  model: ModelVersion,
  features: readonly number[][],
): Promise<Float64Array> {
  using registry = connectRpc(RegistryService, address);
  const probabilities = new Float64Array(features.length);
  for (let begin = 0; begin < features.length; begin += SCORE_ROWS) {
    const values = features.slice(begin, begin + SCORE_ROWS).flat();
    const request = { app, number: model.number, featureNames: model.featureNames, values };
    probabilities.set((await registry.scoreRows(request)).probabilities, begin);
  }
  return probabilities;
}
