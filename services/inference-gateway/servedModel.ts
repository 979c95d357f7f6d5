import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { Answer } from "./answer.ts";
import type { Breaker } from "./breaker.ts";
import type { Lane } from "./lane.ts";

/** A model version that is loaded and warm. */
export interface ServedModel {
  /** `<app>/<number>`. */
  readonly version: string;
  readonly model: ModelVersion;
  readonly lane: Lane;
  readonly breaker: Breaker;
}

/** Which versions answer for an app. Replaced as a whole, so that a call sees one deployment from beginning to end. */
export interface Serving {
  /** Absent when it could not be loaded and nothing else served: then the fallbacks answer. */
  readonly champion: ServedModel | undefined;
  /** Why there is no champion; empty when there is one. */
  readonly problem: string;
  readonly previous: ServedModel | undefined;
  /** Answers before the champion for a share of the entities. */
  readonly canary: Share | undefined;
  /** Is asked, too, and answers nobody. */
  readonly shadow: Share | undefined;
  /** What the champion's training set says of all questions; undefined where that is not known. */
  readonly baseline: Answer | undefined;
}

/** A version for a part of the questions. */
export interface Share {
  readonly model: ServedModel;
  /** 0 to 100. */
  readonly percent: number;
}

export const versionOf = (model: ModelVersion): string => `${model.app}/${model.number}`;
