import { fromBinary } from "@bufbuild/protobuf";
import { ModelState, type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { QueryResultRow } from "pg";

/** How the tables call a version's state. */
export const STATE_WORD: Readonly<Record<ModelState, string>> = {
  [ModelState.UNSPECIFIED]: "candidate",
  [ModelState.CANDIDATE]: "candidate",
  [ModelState.REJECTED]: "rejected",
  [ModelState.CHAMPION]: "champion",
  [ModelState.RETIRED]: "retired",
  [ModelState.SHADOW]: "shadow",
  [ModelState.CANARY]: "canary",
  [ModelState.DELETED]: "deleted",
};

const STATE_OF = new Map(Object.entries(STATE_WORD).map(([state, word]) => [word, Number(state) as ModelState]));

export const stateOf = (word: string): ModelState => STATE_OF.get(word) ?? ModelState.CANDIDATE;

export interface VersionRow extends QueryResultRow {
  readonly state: string;
  readonly version: Uint8Array;
}

/** The stored bytes are those of the registration; the state has a column of its own. */
export function versionOf({ state, version }: VersionRow): ModelVersion {
  const model = fromBinary(ModelVersionSchema, version);
  model.state = stateOf(state);
  return model;
}
