import * as eventLog from "./0001_event_log.ts";
import * as identity from "./0002_identity.ts";
import * as dataQuality from "./0004_data_quality.ts";
import * as rejectedEvent from "./0005_rejected_event.ts";
import * as omittedViolations from "./0006_omitted_violations.ts";
import * as keptAndLate from "./0007_kept_and_late.ts";

/** By name, in the order in which they are applied. */
export const MIGRATIONS = {
  "0001_event_log": eventLog,
  "0002_identity": identity,
  "0004_data_quality": dataQuality,
  "0005_rejected_event": rejectedEvent,
  "0006_omitted_violations": omittedViolations,
  "0007_kept_and_late": keptAndLate,
};
