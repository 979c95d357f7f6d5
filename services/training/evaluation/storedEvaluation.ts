import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Evaluation, EvaluationSchema } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { Artefacts } from "../artefacts.ts";

/** Keeps an evaluation beside the model files: a version, which travels to whoever serves it, only names it. @returns its name */
export const storeEvaluation = (artefacts: Artefacts, evaluation: Evaluation): Promise<string> =>
  artefacts.put(toBinary(EvaluationSchema, evaluation));

/** @throws `not_found` for a version that was not evaluated, `data_loss` when the evaluation is missing or altered */
export async function readEvaluation(
  artefacts: Artefacts,
  { app, number, evaluation }: ModelVersion,
): Promise<Evaluation> {
  if (evaluation === "") {
    const why = "it was registered without labelled rows, or by an older version of Millrace";
    throw new MillraceError("not_found", `There is no evaluation of ${app}/${number}: ${why}`);
  }
  return fromBinary(EvaluationSchema, await artefacts.get(evaluation));
}
