import type { BusConfig } from "@millrace/bus";
import type { ErrorCode, Violation } from "@millrace/runtime";

/** What the thread that builds a dataset is started with. */
export interface DatasetThreadInput {
  /** An encoded BuildDatasetRequest. */
  readonly request: Uint8Array;
  readonly bus: BusConfig;
  readonly eventLogAddress: string;
}

/** What it says. */
export type DatasetThreadMessage =
  | { readonly kind: "progress"; readonly eventsRead: number; readonly rowsWritten: number }
  /** An encoded DatasetManifest. */
  | { readonly kind: "manifest"; readonly manifest: Uint8Array }
  | {
      readonly kind: "failure";
      readonly code: ErrorCode;
      readonly message: string;
      readonly violations: readonly Violation[];
    };
