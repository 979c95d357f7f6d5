import type { Migration } from "kysely/migration";
import { registry } from "./0001Registry.ts";
import { uploads } from "./0002Uploads.ts";
import { trials } from "./0003Trials.ts";
import { probation } from "./0004Probation.ts";

/** In order of their names. */
export const migrations: Record<string, Migration> = {
  "0001_registry": registry,
  "0002_uploads": uploads,
  "0003_trials": trials,
  "0004_probation": probation,
};
