import { type CompiledNoiseRule, compileNoiseRules, durationToMs } from "@millrace/app";
import { type AppVersion, type EventType, UnknownFields } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type CompiledSchema, compileSchema } from "./validation.ts";

/** Ahead of the wall clock by more than this, an event is rejected, when the app does not say. */
const DEFAULT_FUTURE_MS = 5 * 60_000;

/** What ingestion needs of an app, compiled when the app is adopted. */
export interface IngestedApp {
  readonly name: string;
  readonly version: number;
  /** Event types by name, their schemas by version. */
  readonly types: ReadonlyMap<string, IngestedType>;
  /** Behind the stream's clock by more than this, an event is late. */
  readonly latenessMs: number;
  readonly futureMs: number;
  readonly unknownFields: "keep" | "drop" | "reject";
  readonly partitions: number;
  /** In the order in which they are asked. */
  readonly noise: readonly CompiledNoiseRule[];
}

export interface IngestedType {
  readonly schema: EventType;
  readonly newest: CompiledSchema;
  /** Those that producers may write, the newest among them. */
  readonly versions: ReadonlyMap<number, CompiledSchema>;
}

/** Asks for an app's newest version; undefined when it was never applied. */
export type FetchApp = (name: string) => Promise<AppVersion | undefined>;

/** An app that was asked for in vain is not asked for again within this time. */
const FORGET_MS = 1_000;

/** The apps, as they were applied. */
export class AppDirectory {
  readonly #apps = new Map<string, IngestedApp>();
  readonly #fetched = new Map<string, number>();
  readonly #fetch: FetchApp;

  constructor(fetch: FetchApp) {
    this.#fetch = fetch;
  }

  get(name: string): IngestedApp | undefined {
    return this.#apps.get(name);
  }

  /** Takes a version over, unless a newer one is here already. */
  adopt(applied: AppVersion): void {
    const name = applied.app?.app ?? "";
    const known = this.#apps.get(name);
    if (known !== undefined && known.version >= applied.version) return;
    this.#apps.set(name, compileApp(applied, known));
  }

  /**
   * Asks for an app whose event does not fit what is known: its newest version may have been applied a moment ago.
   * Answers whether anything is new.
   */
  async refresh(name: string, nowMs: number): Promise<boolean> {
    if (nowMs - (this.#fetched.get(name) ?? -Infinity) < FORGET_MS) return false;
    if (this.#fetched.size > 10_000) this.#fetched.clear();
    this.#fetched.set(name, nowMs);
    const before = this.#apps.get(name)?.version;
    const applied = await this.#fetch(name);
    if (applied !== undefined) this.adopt(applied);
    return this.#apps.get(name)?.version !== before;
  }
}

function compileApp({ version, app, earlierEvents }: AppVersion, before: IngestedApp | undefined): IngestedApp {
  if (app === undefined) throw new Error("an AppVersion has an app");
  const { ingestion } = app;
  const types = new Map<string, IngestedType>();
  for (const [name, schema] of Object.entries(app.events)) {
    const known = before?.types.get(name)?.versions;
    const newest = compileSchema(schema);
    const versions = new Map<number, CompiledSchema>();
    for (const earlier of earlierEvents[name]?.schemas ?? []) {
      versions.set(earlier.version, known?.get(earlier.version) ?? compileSchema(earlier));
    }
    versions.set(newest.version, newest);
    types.set(name, { schema, newest, versions });
  }
  const policies = { [UnknownFields.DROP]: "drop", [UnknownFields.REJECT]: "reject" } as const;
  const policy = ingestion?.unknownFields ?? UnknownFields.UNSPECIFIED;
  return {
    name: app.app,
    version,
    types,
    latenessMs: durationToMs(ingestion?.lateness) ?? Infinity,
    futureMs: durationToMs(ingestion?.future) ?? DEFAULT_FUTURE_MS,
    unknownFields: policies[policy as keyof typeof policies] ?? "keep",
    partitions: Math.max(1, ingestion?.partitions ?? 1),
    noise: compileNoiseRules(app),
  };
}
