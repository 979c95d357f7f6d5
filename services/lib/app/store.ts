import { create, equals, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, KeyValueWatch } from "@millrace/bus";
import {
  type App,
  AppSchema,
  type AppVersion,
  AppVersionSchema,
  type EarlierSchemas,
  EarlierSchemasSchema,
  type EventType,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Clock, type Logger, MillraceError, silentLogger, systemClock } from "@millrace/runtime";
import { checkCompatible } from "./compatibility.ts";
import { parseApp } from "./parseApp.ts";
import { Problems } from "./problems.ts";

/** The KV bucket that holds the newest AppVersion of each app, under the app's name. */
const BUCKET = "apps";

/** Of an event type: so many versions back, producers are understood. */
const MAX_EARLIER_SCHEMAS = 32;

/** How often an apply begins again because another one came in between. */
const MAX_TRIES = 5;

/** An app as it was applied, and whether this call changed it. */
export interface AppliedApp {
  readonly version: AppVersion;
  readonly changed: boolean;
}

/**
 * Checks an app file and makes it the app's newest version; services adopt it without a restart. A file that means the same as the
 * newest version changes nothing.
 *
 * @throws `invalid_argument` for a file that is wrong, `failed_precondition` for a change that is not compatible with the running version,
 *   `unavailable` when others keep changing the app at the same time; each says what to do.
 */
export async function applyApp(bus: Bus, yamlText: string, clock: Clock = systemClock): Promise<AppliedApp> {
  const app = parseApp(yamlText);
  const bucket = await bus.keyValue(BUCKET);
  for (let tries = 1; ; tries += 1) {
    const entry = await bucket.get(app.app);
    const present = entry?.operation === "PUT" ? decode(AppVersionSchema, entry.value) : undefined;
    if (present?.app !== undefined) {
      if (equals(AppSchema, present.app, app)) return { version: present, changed: false };
      const problems = new Problems();
      problems.addAll(checkCompatible(present.app, app, earlierSchemas(present)));
      refuse(app.app, present.version, problems);
    }
    const version = create(AppVersionSchema, {
      version: (present?.version ?? 0) + 1,
      app,
      source: yamlText,
      earlierEvents: present === undefined ? {} : keepEarlier(present, app),
      appliedAt: timestampFromMs(clock.now()),
    });
    try {
      const bytes = toBinary(AppVersionSchema, version);
      if (entry === null) await bucket.create(app.app, bytes);
      else await bucket.update(app.app, bytes, entry.revision);
      return { version, changed: true };
    } catch (cause) {
      if (tries < MAX_TRIES) continue;
      throw new MillraceError("unavailable", `The app ${app.app} could not be stored; try again`, { cause });
    }
  }
}

const earlierSchemas = ({ earlierEvents }: AppVersion): Record<string, readonly EventType[]> =>
  Object.fromEntries(Object.entries(earlierEvents).map(([type, { schemas }]) => [type, schemas]));

/** The schemas that producers may still write, once `next` has replaced the present version. */
function keepEarlier(present: AppVersion, next: App): Record<string, EarlierSchemas> {
  const kept: Record<string, EarlierSchemas> = {};
  for (const [type, schema] of Object.entries(present.app?.events ?? {})) {
    const earlier = present.earlierEvents[type]?.schemas ?? [];
    const replaced = schema.version === next.events[type]?.version ? [] : [schema];
    const schemas = [...earlier, ...replaced].slice(-MAX_EARLIER_SCHEMAS);
    if (schemas.length > 0) kept[type] = create(EarlierSchemasSchema, { schemas });
  }
  return kept;
}

function refuse(app: string, version: number, problems: Problems): void {
  if (problems.none) return;
  const lines = problems.violations.map(({ field, description }) => `  ${field}: ${description}`);
  throw new MillraceError(
    "failed_precondition",
    `The change does not fit version ${version} of ${app}, which is in use:\n${lines.join("\n")}`,
    { violations: problems.violations },
  );
}

/** The newest version of an app. @throws `not_found` when it was never applied. */
export async function getApp(bus: Bus, name: string): Promise<AppVersion> {
  const entry = await (await bus.keyValue(BUCKET)).get(name);
  if (entry?.operation !== "PUT") {
    throw new MillraceError("not_found", `There is no app ${JSON.stringify(name)}; apply its file first`);
  }
  return decode(AppVersionSchema, entry.value);
}

export interface WatchAppsOptions {
  readonly logger?: Logger;
  /** Called when the watch ends although nobody stopped it. */
  readonly onFailure?: (error: unknown) => void;
}

/**
 * Calls `onApp` for every app that exists, then, while it is not disposed of, for every new version, one after the other.
 * Resolves once the apps that existed have been handled.
 */
export async function watchApps(
  bus: Bus,
  onApp: (version: AppVersion) => void | Promise<void>,
  { logger = silentLogger, onFailure = () => undefined }: WatchAppsOptions = {},
): Promise<KeyValueWatch> {
  return KeyValueWatch.start(await bus.keyValue(BUCKET), {
    logger,
    onFailure,
    onEntry: async (entry) => {
      if (entry.operation !== "PUT") return;
      const version = decode(AppVersionSchema, entry.value);
      if (version.app !== undefined) await onApp(version);
    },
  });
}
