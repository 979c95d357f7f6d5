import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { ScoreRowsRequest } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { invalid } from "./callFields.ts";

/** Most rows of one ScoreRows call. */
const MAX_SCORE_ROWS = 20_000;

/** The request's rows with the model's columns, in the model's order. */
export function inModelOrder({ featureNames, values }: ScoreRowsRequest, model: ModelVersion): Float32Array {
  const width = featureNames.length;
  if (width === 0 || values.length % width !== 0) {
    throw invalid(
      "values",
      "wrong_length",
      `values has ${values.length} numbers, which are no whole rows of ${width} features`,
    );
  }
  const rows = values.length / width;
  if (rows > MAX_SCORE_ROWS) {
    throw invalid("values", "too_many_rows", `values has ${rows} rows; send at most ${MAX_SCORE_ROWS} in one call`);
  }
  const places = model.featureNames.map((name) => featureNames.indexOf(name));
  const missing = model.featureNames.filter((_, index) => places[index] === -1);
  if (missing.length > 0) {
    throw invalid(
      "feature_names",
      "missing",
      `feature_names lacks ${missing.join(", ")}, which ${model.app}/${model.number} needs`,
    );
  }
  const ordered = new Float32Array(rows * places.length);
  let next = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const place of places) {
      ordered[next] = values[row * width + place] as number;
      next += 1;
    }
  }
  return ordered;
}
