import type { MillraceError } from "@millrace/runtime";
import type { Answer } from "./answer.ts";
import type { TensorRequest } from "./tensorRequest.ts";
import type { Outputs } from "./workers/messages.ts";

/** A request for one row of a registry model. */
export interface RowRequest {
  /** The model's inputs, in its order. */
  readonly features: Float64Array;
  /** W3C trace context of the call; empty when it is not sampled. */
  readonly traceparent: string;
}

/** A row on its way: its answer, and how to give it up. */
export interface PendingRow {
  readonly answer: Promise<Answer>;
  readonly cancel: () => void;
  readonly blame: Blame;
}

/** Whose fault it is that a request has failed. */
export interface Blame {
  /** It reached the model, which failed, or did not answer although it had the time. */
  readonly modelsFault: boolean;
}

/** How a tensor request wants to be treated. Times are milliseconds on the lane's clock. */
export interface InferTerms {
  readonly deadline: number;
  /** By then it must have been handed over. */
  readonly queueBy?: number | undefined;
  /** 1 is served first; see `PRIORITY_LEVELS`. */
  readonly priority?: number | undefined;
  readonly traceparent: string;
}

/** A tensor request on its way. The outputs are views of what its whole batch got. */
export interface PendingOutputs {
  readonly outputs: Promise<Outputs>;
  readonly cancel: () => void;
  readonly blame: Blame;
}

/** One of either kind, in the queue or in a batch. */
export interface Waiting extends TensorRequest, Blame {
  modelsFault: boolean;
  readonly traceparent: string;
  /** One of the two, by what was asked for: no closure, for a row pays for every one. */
  readonly resolveRow: ((answer: Answer) => void) | undefined;
  readonly resolveOutputs: ((outputs: Outputs) => void) | undefined;
  readonly reject: (error: MillraceError) => void;
}
