import { Latencies } from "./latencies.ts";

/** What the demonstration has seen so far; the display shows it and the report sums it up. */
export class Progress {
  stage = "starting";
  /** Event time reached, ms. */
  eventTimeMs = Number.NaN;
  /** Share of the stage that is done, 0 to 1; undefined where nobody knows. */
  share: number | undefined;
  published = 0;
  /** By ingestion, as it last said. */
  accepted = 0;
  rejected = 0;
  /** Every event known before this time is readable as features, ms. */
  featuresMs = Number.NaN;
  duplicates = 0;
  predicted = 0;
  /** By how they were made: `CHAMPION`, `PREVIOUS`, `BASELINE`, `CONSTANT`. */
  readonly madeBy: Record<string, number> = {};
  /** Reasons of answers that the champion did not give. */
  readonly fallbackReasons: Record<string, number> = {};
  /** Answers whose features are not certain to be what a dataset will hold for the same moment. */
  inexactFeatures = 0;
  unrecorded = 0;
  retries = 0;
  failures = 0;
  readonly latencies = new Latencies();
  readonly predictionIds = new Set<string>();
  modelVersion = "";
  training = "";
  outcomes = 0;
  openAlerts = 0;
  readonly notes: string[] = [];
}
