import type { Migration } from "kysely/migration";
import { registry } from "./0001Registry.ts";

/** In order of their names. */
export const migrations: Record<string, Migration> = { "0001_registry": registry };
