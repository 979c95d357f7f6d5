import type { Lane } from "./lane.ts";
import type { ModelSignature } from "./modelSignature.ts";
import type { RunCosts } from "./warmUp.ts";

/** A model version in memory, warm: what tensor requests can be sent to. */
export interface LoadedModel {
  /** The app's, or that of a directory in the model repository. */
  readonly name: string;
  /** A number, in decimal. */
  readonly version: string;
  readonly signature: ModelSignature;
  readonly lane: Lane;
  readonly plan: RunPlan;
}

/** How a model runs, and why: decided by its warm-up's measurements. */
export interface RunPlan {
  readonly inline: boolean;
  /** For people: the decision and the figures behind it. */
  readonly runs: string;
  /** For people: whether rows are put together. */
  readonly batching: string;
  readonly costs: RunCosts;
}
