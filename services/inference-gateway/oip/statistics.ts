import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelStatisticsSchema } from "@millrace/proto/inference/grpc_service_pb.ts";
import type { LoadedModel } from "../loadedModel.ts";
import type { Durations } from "../modelStatistics.ts";

/** A model version's statistics as the protocol wants them. */
export function statisticsMessage({
  name,
  version,
  lane,
}: LoadedModel): MessageInitShape<typeof ModelStatisticsSchema> {
  const { success, failure, queue, input, infer, output, bySize, rows, runs, lastRunAt } = lane.statistics;
  return {
    name,
    version,
    lastInference: BigInt(Math.round(lastRunAt)),
    inferenceCount: BigInt(rows),
    executionCount: BigInt(runs),
    inferenceStats: {
      success: duration(success),
      fail: duration(failure),
      queue: duration(queue),
      computeInput: duration(input),
      computeInfer: duration(infer),
      computeOutput: duration(output),
      cacheHit: {},
      cacheMiss: {},
    },
    batchStats: [...bySize]
      .sort(([a], [b]) => a - b)
      .map(([size, { input, infer, output }]) => ({
        batchSize: BigInt(size),
        computeInput: duration(input),
        computeInfer: duration(infer),
        computeOutput: duration(output),
      })),
  };
}

const duration = ({ count, ms }: Durations) => ({ count: BigInt(count), ns: BigInt(Math.round(ms * 1e6)) });
