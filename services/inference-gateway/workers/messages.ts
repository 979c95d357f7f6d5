import type { Signature } from "./session.ts";

/** What the pool tells a worker. */
export type ToWorker =
  | { readonly kind: "load"; readonly id: number; readonly artefact: string; readonly bytes: Uint8Array }
  | {
      readonly kind: "run";
      readonly id: number;
      readonly artefact: string;
      readonly features: Float32Array;
      readonly rows: number;
      readonly columns: number;
    };

/** What a worker answers, one for each. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "loaded"; readonly id: number; readonly signature: Signature }
  | { readonly kind: "ran"; readonly id: number; readonly probabilities: Float32Array; readonly runMs: number }
  | { readonly kind: "failed"; readonly id: number; readonly message: string };
