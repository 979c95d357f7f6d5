import type { InferParameter } from "@millrace/proto/inference/grpc_service_pb.ts";
import { DEFAULT_PRIORITY, PRIORITY_LEVELS } from "../batcher.ts";
import { invalid } from "./decodeTensor.ts";

/** What a request's parameters say about its treatment. */
export interface RequestTerms {
  readonly priority: number;
  /** Longest time in the queue; undefined: as long as its deadline allows. */
  readonly queueMs: number | undefined;
}

const DEFAULT_TERMS: RequestTerms = { priority: DEFAULT_PRIORITY, queueMs: undefined };

/**
 * Reads `priority` (1 is served first, 0 means the default level, what is beyond the last level counts as the last) and
 * `timeout` (microseconds in the queue, 0 means none).
 *
 * @throws `invalid_argument` for a value of another kind, and for sequences, which need a model with a state.
 */
export function readTerms(parameters: Readonly<Record<string, InferParameter>>): RequestTerms {
  let terms = DEFAULT_TERMS;
  for (const name in parameters) {
    if (name === "priority") terms = { ...terms, priority: levelOf(whole(name, parameters[name])) };
    else if (name === "timeout") {
      const microseconds = whole(name, parameters[name]);
      terms = { ...terms, queueMs: microseconds === 0 ? undefined : microseconds / 1_000 };
    } else if (name === "sequence_id") {
      throw invalid("parameter sequence_id: models here keep no state between requests, so there are no sequences");
    }
  }
  return terms;
}

const levelOf = (priority: number): number => (priority === 0 ? DEFAULT_PRIORITY : Math.min(priority, PRIORITY_LEVELS));

function whole(name: string, parameter: InferParameter | undefined): number {
  const choice = parameter?.parameterChoice;
  if ((choice?.case === "int64Param" || choice?.case === "uint64Param") && choice.value >= 0n) {
    return Number(choice.value);
  }
  const got =
    choice?.case === undefined ? "none" : `${String(choice.value)} in ${choice.case.replace("Param", "_param")}`;
  throw invalid(`parameter ${name}: expected a whole number from 0 in uint64_param or int64_param, got ${got}`);
}
