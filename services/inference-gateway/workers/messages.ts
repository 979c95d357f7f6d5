import type { ErrorCode } from "@millrace/runtime";
import type { TensorValue } from "../tensor.ts";

/** What the pool tells a worker. */
export type ToWorker =
  | {
      readonly kind: "load";
      readonly id: number;
      readonly artefact: string;
      readonly bytes: Uint8Array;
      readonly threads: number;
    }
  | {
      readonly kind: "run";
      readonly id: number;
      readonly artefact: string;
      readonly inputs: readonly TensorValue[];
      readonly wanted: readonly number[];
    };

/** What a worker answers, one for each. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "loaded"; readonly id: number }
  | { readonly kind: "ran"; readonly id: number; readonly outputs: Outputs; readonly runMs: number }
  | { readonly kind: "failed"; readonly id: number; readonly code: ErrorCode; readonly message: string };

/** By position in the model's signature; those that nobody wanted are missing. */
export type Outputs = readonly (TensorValue | undefined)[];
